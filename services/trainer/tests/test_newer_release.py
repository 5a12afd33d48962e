"""Documents of a newer release: further fields are ignored, an unknown major version is a reason that names it."""

import json
from typing import Any

import httpx
import pytest

from modelyard import RegistryClient
from modelyard_contracts import RunState, VersionStage
from modelyard_contracts.documents import canonical_json, digest_of
from modelyard_trainer.clients.registry import RegistryGateway
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.usecases.deps import Deps
from modelyard_trainer.usecases.drift import retrain_on_drift

from .helpers.world import World, drift


class NewerRegistry(httpx.BaseTransport):
    """A registry whose manifests and policies have further fields or another major version."""

    def __init__(self, inner: httpx.BaseTransport, manifest: dict[str, Any], policy: dict[str, Any]) -> None:
        self._inner, self._manifest, self._policy = inner, manifest, policy

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        answer.read()
        if request.url.path.endswith("/manifest"):
            data = canonical_json({**json.loads(answer.content), **self._manifest})
            return httpx.Response(200, headers={"x-modelyard-digest": digest_of(data)}, content=data)
        if request.url.path.endswith("/policies/retrain"):
            document = answer.json()
            return httpx.Response(200, json={**document, "document": {**document["document"], **self._policy}})
        return answer


def deps_with(world: World, manifest: dict[str, Any], policy: dict[str, Any]) -> Deps:
    world.given_version(VersionStage.LIVE, world.dataset)
    transport = NewerRegistry(world.registry.transport, manifest, policy)
    gateway = RegistryGateway(RegistryClient("http://registry", world.registry.admin_key, transport=transport))
    return Deps(world.runs, gateway, world.deps.recipes, world.clock, world.deps.log_lines)


def test_further_fields_of_a_manifest_and_a_policy_are_ignored(world: World) -> None:
    run = retrain_on_drift(deps_with(world, {"carbon_g": 3}, {"patience": "high"}), drift(world))
    assert run is not None and run.state is RunState.REQUESTED


@pytest.mark.parametrize("newer", ["manifest", "policy"])
def test_a_newer_major_version_refuses_the_run_with_the_release_it_needs(world: World, newer: str) -> None:
    document = {"schema_version": 9, "min_release": "7.1"}
    changes: dict[str, dict[str, Any]] = {"manifest": {}, "policy": {}, newer: document}
    deps = deps_with(world, **changes)
    event = drift(world)
    run = retrain_on_drift(deps, event)
    assert run is not None and run.state is RunState.REFUSED
    assert "schema version 9 needs Modelyard 7.1 or newer" in run.reason
    assert retrain_on_drift(deps, event) is None
    with pytest.raises(BadRequest, match="needs Modelyard 7"):
        deps.registry.served("shifts") if newer == "manifest" else deps.registry.retrain_policy("shifts")
