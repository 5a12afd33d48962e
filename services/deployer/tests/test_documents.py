"""Bytes are the identity of a version, and documents of other releases are read or refused with a reason."""

import json
from typing import Any

import httpx
import pytest

from modelyard import RegistryClient
from modelyard_contracts import RolloutAction, RolloutChanged
from modelyard_contracts import RolloutState as State
from modelyard_contracts.documents import canonical_json
from modelyard_contracts.manifest import digest_of
from modelyard_contracts.policies import RolloutPolicy
from modelyard_contracts.routes import RoutePlan

from .conftest import MODEL, World, a_version


class OtherRelease(httpx.BaseTransport):
    """A registry whose documents have further fields, or another major version."""

    def __init__(self, inner: httpx.BaseTransport, manifest: dict[str, Any], policy: dict[str, Any]) -> None:
        self._inner, self._manifest, self._policy = inner, manifest, policy

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        path = request.url.path
        if path.endswith("/manifest"):
            data = self._altered(answer.content)
            return httpx.Response(200, headers={"x-modelyard-digest": digest_of(data)}, content=data)
        document = answer.json() if answer.status_code == 200 and "/models/" in path else None
        if path.endswith("/policies/rollout") and document:
            return httpx.Response(200, json={**document, "document": {**document["document"], **self._policy}})
        if "/versions/" in path and document:
            request = httpx.Request("GET", f"{request.url}/manifest", headers=request.headers)
            return httpx.Response(200, json={**document, "digest": digest_of(self._altered(self._read(request)))})
        return answer

    def _read(self, request: httpx.Request) -> bytes:
        return self._inner.handle_request(request).read()

    def _altered(self, manifest: bytes) -> bytes:
        return canonical_json({**json.loads(manifest), **self._manifest})


def meet(world: World, manifest: dict[str, Any], policy: dict[str, Any] | None = None) -> None:
    """Let the deployer work with such a registry."""
    transport = OtherRelease(world.registry.transport, manifest, policy or {})
    world.registry_client = RegistryClient("http://registry", world.registry.admin_key, transport=transport)
    world.restart()


def test_a_version_with_fields_of_a_newer_release_is_served_under_the_digest_of_its_bytes(world: World) -> None:
    meet(world, {"colour": "blue", "min_release": "0.9"}, {"patience": {"of": "a saint"}})
    world.given_serving(1)
    served = digest_of(canonical_json({**json.loads(a_version(1).file.data), "colour": "blue", "min_release": "0.9"}))
    assert served != a_version(1).digest
    with world.store.read() as records:
        published = records.routes.published(MODEL)
    assert published is not None
    root: Any = RoutePlan.model_validate_json(published.plan).root
    assert root.digest == served
    [folder] = [path for path in (world.folder / "models").iterdir() if path.name == served.removeprefix("sha256:")]
    assert digest_of((folder / "manifest.json").read_bytes()) == served


def test_the_digest_of_a_version_survives_a_restart_and_a_new_field_of_this_release(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that adds a field with a default would give another digest if it hashed the parsed manifest."""
    world.given_serving(1)
    sequence = world.route().sequence
    from modelyard_contracts import manifest

    class LaterManifest(manifest.ModelManifest):
        added_later: str = "default"

    monkeypatch.setattr(manifest, "ModelManifest", LaterManifest)
    world.restart()
    world.settle(1.0)
    world.request(RolloutAction.START, 2)
    world.settle()
    assert world.targets()[-1].digest == a_version(1).digest
    assert world.route().sequence == sequence + 1
    assert len(world.processes.started) == 2


def test_a_version_of_a_newer_major_release_fails_with_the_release_it_needs(world: World) -> None:
    meet(world, {"schema_version": 9, "min_release": "7.1"})
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    failed = world.rollout(rollout.id)
    assert failed.state is State.FAILED
    assert "schema version 9 needs Modelyard 7.1 or newer" in failed.reason


def test_a_policy_that_cannot_be_read_fails_the_rollout_and_names_the_field(world: World) -> None:
    meet(world, {}, {"max_hold_s": "for ever"})
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    failed = world.rollout(rollout.id)
    assert (failed.state, "max_hold_s" in failed.reason) == (State.FAILED, True)


def test_a_rollout_that_waits_has_a_reason(world: World) -> None:
    with world.registry_unavailable():
        rollout = world.request(RolloutAction.START, 1)
        world.settle()
        waiting = world.rollout(rollout.id)
    assert (waiting.state, "the registry is unavailable" in waiting.reason) == (State.PENDING, True)
    assert world.published(RolloutChanged) == []
    world.set_policy(RolloutPolicy(route="named"))
    world.settle()
    assert [route.name for route in world.routes()] == ["named"]
