"""Who may call the router: keys of people, the router's own key, and the document of its API."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard_devstack.testing import eventually
from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_devstack.testing.openapi import check_api
from modelyard_registry.testing import InProcessRegistry
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.service_keys import seed_service_keys
from modelyard_router.settings import Settings
from modelyard_runtime.clock import system_clock
from modelyard_runtime.errors import StartupError

from .conftest import KEY, ROW, Make, World

SERVICE_KEY = "a-service-key-for-the-router"
RING = "2:a-secret-of-some-length\n1:an-older-secret-of-some-length\n"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
async def own_key(make_world: Make, tmp_path: Path) -> AsyncIterator[tuple[World, InProcessRegistry]]:
    """A router with a key of its own and secrets of its own: it has no admin key."""
    router_key = written(tmp_path / "router.key", SERVICE_KEY)
    with InProcessRegistry(tmp_path / "registry", system_clock) as registry:
        deps = registry.registry.deps
        seed_service_keys(deps, {"router": SERVICE_KEY}, origin_of(deps, "test"))
        world = await make_world(
            registry_url=registry.serve(),
            admin_key_file=None,
            service_key_file=router_key,
            entity_secret_file=written(tmp_path / "entity", RING),
            serving_token_file=written(tmp_path / "serving", RING),
        )
        yield world, registry


def given_key(registry: InProcessRegistry, *roles: str) -> str:
    with httpx.Client(transport=registry.transport, base_url="http://registry") as client:
        answer = client.post(
            "/v1/keys",
            json={"name": "-".join(roles), "roles": {"default": list(roles)}},
            headers={"authorization": f"Bearer {registry.admin_key}"},
        )
    return str(answer.raise_for_status().json()["key"])


async def test_keys_are_checked_with_the_routers_own_key(own_key: tuple[World, InProcessRegistry]) -> None:
    world, registry = own_key
    replica = await world.serve()
    viewer, caller = given_key(registry, "viewer"), given_key(registry, "caller")
    assert (await world.call("GET", "/v1/routes", key=viewer)).status == 200
    refused = await world.call("POST", "/v1/predict/elec", {"features": ROW}, key=viewer)
    assert (refused.status, "caller" in refused.body["detail"]) == (403, True), refused
    assert (await world.call("GET", "/v1/routes", key=caller)).status == 403
    answer = await world.call("POST", "/v1/predict/elec", {"features": ROW, "entity_key": "u"}, key=caller)
    assert answer.status == 200, answer
    assert (await world.call("GET", "/v1/routes", key=registry.admin_key)).status == 200
    assert (await world.call("GET", "/v1/routes", key="no-such-key")).status == 401
    assert replica.behaviour.headers[0]["authorization"] == "Bearer a-secret-of-some-length"
    hashed = world.logged()[0].entity_key_hash
    assert hashed is not None and hashed.startswith("2.")


async def test_the_hash_of_an_entity_key_changes_with_the_current_secret_only(make_world: Make, tmp_path: Path) -> None:
    file = written(tmp_path / "entity", RING)
    world = await make_world(entity_secret_file=file)
    await world.serve()
    for key in ("u", "v", "u"):
        await world.predict(entity_key=key)
    one, other, again = (row.entity_key_hash for row in world.logged())
    assert one == again != other


async def test_a_rotated_serving_token_is_sent_from_then_on(make_world: Make, tmp_path: Path) -> None:
    file = written(tmp_path / "serving", RING)
    world = await make_world(serving_token_file=file)
    replica = await world.serve()
    stop = asyncio.Event()
    watching = asyncio.create_task(world.app.watch(stop))
    written(file, "3:a-new-secret-of-some-length\n" + RING)

    async def sent() -> bool:
        await world.predict()
        return replica.behaviour.headers[-1]["authorization"] == "Bearer a-new-secret-of-some-length"

    assert not await sent()
    await eventually(sent, 20)
    stop.set()
    await watching


async def test_two_authorization_headers_are_refused(world: World) -> None:
    await world.serve()
    answer = await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers={"Authorization": "Bearer x"})
    assert (answer.status, answer.body["code"]) == (400, "two_keys")


@pytest.mark.parametrize("name", ["entity_secret_file", "serving_token_file"])
def test_a_secret_that_cannot_be_read_fails_the_start_by_its_variable(tmp_path: Path, name: str) -> None:
    key_file = written(tmp_path / "key", KEY)
    given: dict[str, Any] = {"admin_key_file": key_file, name: tmp_path / "none"}
    with pytest.raises(StartupError, match=name.upper()):
        Settings(**given).check_files()


def test_without_an_admin_key_both_secrets_are_needed(tmp_path: Path) -> None:
    given: dict[str, Any] = {"service_key_file": written(tmp_path / "key", KEY), "admin_key_file": None}
    with pytest.raises(StartupError, match="MODELYARD_ADMIN_KEY_FILE"):
        Settings(**given).check_files()


async def test_every_endpoint_holds_the_grants(world: World) -> None:
    await world.serve()
    assert await walk_access(world.app.control_api) > 100


@pytest.mark.slow
async def test_the_api_keeps_to_its_document(world: World) -> None:
    await world.serve()
    # Streams are left out by the check itself; the data endpoints read their bodies themselves.
    app = world.app.control_api(role_keys())
    assert await asyncio.to_thread(check_api, app) >= 10
