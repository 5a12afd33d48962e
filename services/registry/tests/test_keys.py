from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from modelyard import ApiError, RegistryClient
from modelyard_contracts.keyring import KeyRing
from modelyard_registry.store.tables import METADATA
from modelyard_registry.testing import ADMIN_KEY, InProcessRegistry
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.service_keys import GRACE, seed_service_keys
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.errors import Invalid

from .conftest import World


def test_the_text_of_a_key_is_returned_once_and_only_its_hash_is_stored(world: World) -> None:
    made = world.client.create_key("ada", {"default": ["developer"]})
    assert made.key is not None
    assert [(key.name, key.key) for key in world.client.api_keys()] == [("ada", None)]
    with world.registry.database.read() as connection:
        row = connection.execute(select(METADATA.tables["api_keys"])).one()
    assert made.key not in str(row) and made.key.rpartition("_")[2] not in str(row)


def test_a_key_allows_what_its_roles_allow_in_their_workspace(on_sqlite: World) -> None:
    on_sqlite.client.post("/v1/workspaces", {"name": "acme"})
    developer = on_sqlite.client_with(on_sqlite.key("developer", workspace="acme"))
    assert developer.create_model("acme:churn").name == "acme:churn"
    with pytest.raises(ApiError, match="no role of ada in workspace default allows create on model") as refused:
        developer.create_model("churn")
    assert (refused.value.status, refused.value.code) == (403, "forbidden")
    with pytest.raises(ApiError, match="no role of ada in workspace acme allows move-alias"):
        developer.move_alias("acme:churn", "shadow", 1, expected_generation=0, reason="x")


def test_scopes_narrow_the_roles_of_a_key(on_sqlite: World) -> None:
    made = on_sqlite.client.create_key("ada", {"*": ["developer"]}, scopes=["read"])
    client = on_sqlite.client_with(str(made.key))
    assert client.models() == ()
    with pytest.raises(ApiError, match=r"scopes of this key \(read\) leave out create"):
        client.create_model("elec")


@pytest.fixture
def acme(on_sqlite: World) -> World:
    on_sqlite.client.post("/v1/workspaces", {"name": "acme"})
    return on_sqlite


def test_an_answer_names_identity_roles_scopes_and_expiry(acme: World) -> None:
    until = acme.clock() + timedelta(seconds=60)
    text = acme.client.create_key("ada", {"acme": ["viewer"]}, scopes=["read"], expires_at=until).key
    assert text is not None
    answer = acme.client.introspect(text)
    assert answer == {
        "active": True,
        "identity": "ada",
        "kind": "user",
        "roles": {"acme": ["viewer"]},
        "scopes": ["read"],
        "expires_at": "2026-01-01T00:01:00Z",
    }
    for wrong in ("", "x", "my_", "my_x_y", text + "x", text[:-1], text.replace("my_", "mx_"), "\x00"):
        assert acme.client.introspect(wrong) == {"active": False}
    acme.clock.advance(59.999)
    assert acme.client.introspect(text)["active"]
    acme.clock.advance(0.001)
    assert acme.client.introspect(text) == {"active": False}


def test_the_admin_key_is_introspected_as_the_bootstrap_administrator(on_sqlite: World) -> None:
    answer = on_sqlite.client.introspect(ADMIN_KEY)
    assert (answer["identity"], answer["kind"], answer["roles"]) == ("bootstrap-admin", "bootstrap", {"*": ["admin"]})


def test_a_revoked_key_is_refused_within_30_seconds(world: World) -> None:
    made = world.client.create_key("ada", {"default": ["viewer"]})
    client = world.client_with(str(made.key))
    assert client.models() == ()
    world.client.revoke_key(made.id)
    world.client.revoke_key(made.id)
    assert world.client.introspect(str(made.key)) == {"active": False}
    world.clock.advance(30)
    with pytest.raises(ApiError) as refused:
        client.models()
    assert refused.value.status == 401


def test_an_expired_key_is_refused_at_once_though_its_answer_is_cached(on_sqlite: World) -> None:
    until = on_sqlite.clock() + timedelta(seconds=10)
    client = on_sqlite.client_with(str(on_sqlite.client.create_key("ada", {"*": ["viewer"]}, expires_at=until).key))
    assert client.models() == ()
    on_sqlite.clock.advance(10)
    with pytest.raises(ApiError) as refused:
        client.models()
    assert refused.value.status == 401


def test_a_rotated_key_has_the_same_rights_and_the_old_one_a_grace_period(world: World) -> None:
    old = world.client.create_key("ada", {"default": ["viewer"]}, scopes=["read"])
    new = world.client.rotate_key(old.id, grace_s=60)
    assert (new.name, new.roles, new.scopes, new.replaces) == ("ada", old.roles, ("read",), old.id)
    assert new.key not in (None, old.key)
    for key in (old, new):
        assert world.client.introspect(str(key.key))["active"]
    world.clock.advance(60)
    assert world.client.introspect(str(old.key)) == {"active": False}
    assert world.client.introspect(str(new.key))["active"]
    with pytest.raises(ApiError) as refused:
        world.client.rotate_key(old.id)
    assert (refused.value.status, refused.value.code) == (409, "key_not_active")


def test_every_change_of_a_key_is_in_the_history_of_its_workspaces(acme: World) -> None:
    made = acme.client.create_key("ada", {"acme": ["viewer"], "default": ["developer"]})
    acme.client.revoke_key(acme.client.rotate_key(made.id).id)
    for workspace, role in (("acme", "viewer"), ("default", "developer")):
        items = acme.client.get(f"/v1/workspaces/{workspace}/history")["items"]
        changes = [
            (item["change"], item["actor"], item["detail"]["identity"]) for item in items if item["detail"].get("key")
        ]
        assert changes == [
            (change, "bootstrap-admin", "ada") for change in ("key_created", "key_rotated", "key_revoked")
        ]
        assert items[-1]["detail"]["roles"] == {workspace: [role]}


def test_an_administrator_of_one_workspace_manages_its_keys_only(acme: World) -> None:
    admin = acme.client_with(acme.key("admin", workspace="acme", name="boss"))
    outside = acme.client.create_key("eve", {"default": ["viewer"]})
    both = acme.client.create_key("bob", {"default": ["viewer"], "acme": ["viewer"]})
    made = admin.create_key("ada", {"acme": ["viewer"]})
    assert {key.name for key in admin.api_keys()} == {"boss", "bob", "ada"}
    admin.revoke_key(made.id)
    for call, status in (
        (lambda: admin.create_key("mallory", {"default": ["admin"]}), 403),
        (lambda: admin.create_key("mallory", {"*": ["viewer"]}), 403),
        (lambda: admin.revoke_key(outside.id), 404),
        (lambda: admin.rotate_key(both.id), 403),
    ):
        with pytest.raises(ApiError) as refused:
            call()
        assert refused.value.status == status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a", "roles": {}}, "roles"),
        ({"name": "a", "roles": {"default": []}}, "roles"),
        ({"name": "a", "roles": {"default": ["root"]}}, "roles"),
        ({"name": "a", "roles": {"default": ["service-router"]}}, "roles"),
        ({"name": "a", "roles": {"*": ["viewer"]}, "scopes": ["everything"]}, "scopes"),
        ({"name": "", "roles": {"*": ["viewer"]}}, "name"),
        ({"name": "bootstrap-admin", "roles": {"*": ["viewer"]}}, "name"),
        ({"name": "Gate", "roles": {"*": ["viewer"]}}, "name"),
        ({"name": "a\r\nb", "roles": {"*": ["viewer"]}}, "name"),
        ({"name": "a\n", "roles": {"*": ["viewer"]}}, "name"),
        ({"name": "a", "roles": {"*": ["viewer"]}, "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "roles": {"*": ["viewer"]}, "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
    ],
)
def test_a_bad_key_is_refused_with_the_field_named(on_sqlite: World, body: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request("POST", "/v1/keys", json=body)
    assert (refused.value.status, refused.value.field) == (422, field)


def test_a_role_in_a_workspace_that_does_not_exist_is_refused(on_sqlite: World) -> None:
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.create_key("ada", {"nowhere": ["viewer"]})
    assert (refused.value.status, refused.value.code) == (404, "workspace_not_found")


def test_the_hash_secret_is_rotated_without_ending_keys(tmp_path: Path) -> None:
    file = tmp_path / "hash.secret"
    ring = KeyRing.fresh()
    file.write_text(ring.text())

    def opened() -> InProcessRegistry:
        return InProcessRegistry(tmp_path, key_hash_secret_file=file)

    def client(registry: InProcessRegistry) -> RegistryClient:
        return RegistryClient("http://registry", ADMIN_KEY, transport=registry.transport)

    with opened() as registry:
        used, unused = (client(registry).create_key(name, {"*": ["viewer"]}).key for name in ("used", "unused"))
    rotated = ring.with_new()
    rotated = rotated.with_current(rotated.secrets[-1].id)
    file.write_text(rotated.text())
    with opened() as registry:
        assert client(registry).introspect(str(used))["active"]
    file.write_text(rotated.only(1).text())
    with opened() as registry:
        assert client(registry).introspect(str(used))["active"]
        assert client(registry).introspect(str(unused)) == {"active": False}


def test_service_keys_are_read_from_files_and_only_hashes_are_stored(tmp_path: Path) -> None:
    folder = tmp_path / "service-keys"
    folder.mkdir()
    (folder / "router.key").write_text("a key of the router, long enough\n")
    clock = FakeClock()
    with InProcessRegistry(tmp_path, clock, service_keys_dir=folder) as registry:
        registry.registry.prepare()
        client = RegistryClient("http://registry", ADMIN_KEY, transport=registry.transport)
        answer = client.introspect("a key of the router, long enough")
        assert (answer["identity"], answer["kind"]) == ("router", "service")
        assert answer["roles"] == {"*": ["service-router"]}
        (folder / "router.key").write_text("another key of the router, as long")
        registry.registry.prepare()
        assert client.introspect("a key of the router, long enough")["active"]
        clock.advance(GRACE.total_seconds())
        assert client.introspect("a key of the router, long enough") == {"active": False}
        assert client.introspect("another key of the router, as long")["active"]
    assert b"a key of the router" not in (tmp_path / "data" / "service.db").read_bytes()


def test_a_key_of_an_unknown_service_is_refused(on_sqlite: World) -> None:
    deps = on_sqlite.registry.deps
    with pytest.raises(Invalid, match=r"stranger\.key: there is no service"):
        seed_service_keys(deps, {"stranger": "k" * 32}, origin_of(deps, "test"))
