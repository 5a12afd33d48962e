"""Manifests and policies of a newer release: evaluated where possible, otherwise the release needed is named."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from modelyard import RegistryClient
from modelyard_contracts import Verdict
from modelyard_contracts.manifest import digest_of
from modelyard_evaluator.clients.registry import HttpRegistry

from .conftest import SERVICE, World


class NewerRegistry(httpx.BaseTransport):
    """Answers of the registry with changed documents."""

    def __init__(self, inner: httpx.BaseTransport, ending: str, changes: Mapping[str, Any]) -> None:
        self._inner, self._ending, self._changes = inner, ending, changes

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        if not request.url.path.endswith(self._ending):
            return answer
        document = json.loads(answer.read())
        if "document" in document:
            document = {**document, "document": {**document["document"], **self._changes}}
        else:
            document = {**document, **self._changes}
        body = json.dumps(document).encode()
        return httpx.Response(200, headers={"x-modelyard-digest": digest_of(body)}, content=body)


def evaluate_with(world: World, ending: str, changes: Mapping[str, Any]) -> None:
    transport = NewerRegistry(world.registry.transport, ending, changes)
    with RegistryClient("http://registry", SERVICE, transport=transport) as client:
        world.deps = replace(world.deps, registry=HttpRegistry(client))
        world.deliver(world.registered(2))
        world.work()


@pytest.mark.parametrize("ending", ["/manifest", "/policies/gate"])
def test_unknown_fields_are_ignored(world: World, ending: str) -> None:
    evaluate_with(world, ending, {"added_later": {"x": 1}})
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.DEPLOY


@pytest.mark.parametrize("ending", ["/versions/2/manifest", "/versions/1/manifest", "/policies/gate"])
def test_an_unknown_major_version_is_a_verdict_that_names_the_release(world: World, ending: str) -> None:
    evaluate_with(world, ending, {"schema_version": 9, "min_release": "0.9"})
    [verdict] = world.verdicts()
    assert (verdict.verdict, verdict.challenger_version) == (Verdict.INCONCLUSIVE, 2)
    assert "needs Modelyard 0.9 or newer" in verdict.reasons[0]
