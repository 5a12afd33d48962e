from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from modelyard import ApiError
from modelyard_registry.store.tables import METADATA
from modelyard_runtime.http import OPEN_PATHS

from .conftest import World


def test_the_secret_is_told_once_and_only_its_hash_is_kept(world: World) -> None:
    made = world.client.create_api_key("trainer", ["write", "service"])
    assert made.key is not None
    assert [(key.name, key.key) for key in world.client.api_keys()] == [("trainer", None)]
    with world.registry.database.read() as connection:
        row = connection.execute(select(METADATA.tables["api_keys"])).one()
    assert made.key not in str(row) and made.key.rpartition("_")[2] not in str(row)


def test_a_key_opens_what_its_scopes_say(on_sqlite: World) -> None:
    admin = on_sqlite.client
    keys = {scope: admin.create_api_key(scope, [scope]).key for scope in ("read", "write", "predict", "service")}
    admin.create_model("elec")
    allowed = {}
    for scope, key in keys.items():
        client = on_sqlite.client_with(str(key))
        allowed[scope] = [
            _may(client.models),
            _may(lambda client=client: client.create_model("elec")),
            _may(lambda client=client: client.introspect("x")),
            _may(client.api_keys),
        ]
    assert allowed == {
        "read": [True, False, False, False],
        "write": [True, True, False, False],
        "predict": [False, False, False, False],
        "service": [False, False, True, False],
    }


def _may(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except ApiError as error:
        assert error.status == 403
        return False
    return True


def test_introspection_tells_who_a_key_is_until_it_ends(world: World) -> None:
    until = world.clock() + timedelta(seconds=60)
    key = world.client.create_api_key("ada", ["read", "predict"], expires_at=until).key
    assert key is not None
    told = world.client.introspect(key)
    assert (told["active"], told["name"], told["scopes"]) == (True, "ada", ["predict", "read"])
    for wrong in ("", "x", "my_", "my_x_y", key + "x", key[:-1], key.replace("my_", "mx_"), "\x00"):
        assert world.client.introspect(wrong) == {"active": False}
    world.clock.advance(61)
    assert world.client.introspect(key) == {"active": False}


def test_a_revoked_key_is_nobody_after_at_most_the_cache_time(world: World) -> None:
    made = world.client.create_api_key("ada", ["read"])
    client = world.client_with(str(made.key))
    assert client.models() == ()
    world.client.revoke_api_key(made.id)
    world.client.revoke_api_key(made.id)
    assert world.client.introspect(str(made.key)) == {"active": False}
    world.clock.advance(31)
    with pytest.raises(ApiError) as refused:
        client.models()
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["root"]}, "scopes"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "a", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "scopes": ["read"], "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
    ],
)
def test_a_bad_key_is_refused_with_the_field_named(on_sqlite: World, body: dict[str, object], field: str) -> None:
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request("POST", "/v1/api-keys", json=body)
    assert (refused.value.status, refused.value.field) == (422, field)


def _routes(world: World) -> list[tuple[str, str]]:
    """(method, path) of every route, those of included routers too."""
    found: list[tuple[str, str]] = []
    waiting: list[Any] = list(world.registry.app.routes)
    while waiting:
        route = waiting.pop()
        if (inner := getattr(route, "original_router", None)) is not None:
            waiting += inner.routes
        elif route.path not in OPEN_PATHS:
            path = route.path.replace("{version}", "1").replace(":path", "")
            found += [(method, path) for method in route.methods]
    return found


def test_every_route_needs_a_token(on_sqlite: World) -> None:
    routes = _routes(on_sqlite)
    assert len(routes) > 45
    for method, path in routes:
        for headers in ({}, {"authorization": "Bearer my_0_wrong"}, {"authorization": "Basic bWU6d3Jvbmc="}):
            answer = on_sqlite.http.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_for_predictions_opens_nothing_but_the_description(on_sqlite: World) -> None:
    key = on_sqlite.client.create_api_key("app", ["predict"]).key
    for method, path in _routes(on_sqlite):
        if path == "/openapi.json":
            continue
        answer = on_sqlite.http.request(method, path, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 403, (method, path, answer.status_code)
