"""Connections to providers: replaced by compare and swap, kept while a version uses them, and never with a key."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from modelyard import ApiError, VersionInfo
from modelyard_contracts import VersionStage
from modelyard_contracts.connections import Connection
from modelyard_contracts.manifest import Permissions
from modelyard_contracts.messages import ConnectionChange, ConnectionChanged

from .conftest import World, manifest_of

DOCUMENT: dict[str, Any] = {
    "endpoint": "https://api.example.com/v1",
    "secret": "PROVIDER_API_KEY",
    "currency": "EUR",
    "models": {"small-1": {"context_tokens": 8192, "input_per_million_tokens": 0.15, "output_per_million_tokens": 0.6}},
    "limits": {"requests_per_minute": 500},
}
CONNECTION = Connection.model_validate(DOCUMENT)


def put(world: World, document: Any, name: str = "provider", **more: Any) -> Any:
    body = {"document": document, "expected_revision": 0, **more}
    return world.client.request("PUT", f"/v1/connections/{name}", json=body).json()


def changes(world: World) -> list[ConnectionChanged]:
    return world.opened.messages_of(ConnectionChanged)


def version_of(world: World, connection: str, model: str = "answers") -> VersionInfo:
    """A version of a model of a provider that names a connection."""
    world.client.create_model(model)
    world.made += 1
    data = f"api {world.made}".encode()
    world.client.put_blob(data)
    made = manifest_of(model, api=data).model_copy(
        update={
            "flavour": "external-api",
            "options": {"connection": connection},
            "permissions": Permissions(network=True, reason="contract"),
        }
    )
    return world.client.create_version(made, idempotency_key=f"api-{world.made}")


def test_a_connection_is_created_replaced_and_deleted_with_its_history_and_events(world: World) -> None:
    made = world.client.set_connection("provider", CONNECTION, expected_revision=0, reason="contract 7")
    assert (made.name, made.revision, made.document, made.used_by) == ("provider", 1, CONNECTION, ())
    dearer = CONNECTION.model_copy(update={"currency": "USD"})
    assert world.client.set_connection("provider", dearer, expected_revision=1, reason="prices").revision == 2
    assert world.client.set_connection("provider", dearer, expected_revision=1).revision == 2, "a repeated call"
    assert [one.document.currency for one in world.client.connections()] == ["USD"]
    world.client.delete_connection("provider", expected_revision=2, reason="contract ended")
    assert world.client.connections() == ()
    with pytest.raises(ApiError) as gone:
        world.client.connection("provider")
    assert (gone.value.status, gone.value.code) == (404, "connection_not_found")
    kinds = ["connection_created", "connection_replaced", "connection_deleted"]
    history = world.client.connection_history("provider")
    assert [one.change for one in history] == kinds and [one.reason for one in history][:2] == ["contract 7", "prices"]
    assert history[0].detail["currency"] == "EUR", "earlier prices can be read"
    assert [one.change for one in reversed(world.client.audit().items)][-3:] == kinds
    found = changes(world)
    assert [(one.connection, one.revision, one.change) for one in found] == [
        ("provider", 1, ConnectionChange.CREATED),
        ("provider", 2, ConnectionChange.REPLACED),
        ("provider", 3, ConnectionChange.DELETED),
    ]
    assert [one.event_id for one in history] == [str(one.event_id) for one in found]
    assert world.client.set_connection("provider", CONNECTION, expected_revision=0).revision == 4, "created once more"


def test_of_two_people_who_change_a_connection_the_second_is_refused(on_sqlite: World) -> None:
    on_sqlite.client.set_connection("provider", CONNECTION, expected_revision=0)
    other = CONNECTION.model_copy(update={"secret": "OTHER_KEY"})
    for expected in (0, 2):
        with pytest.raises(ApiError, match="is at revision 1, not at") as refused:
            on_sqlite.client.set_connection("provider", other, expected_revision=expected)
        assert (refused.value.status, refused.value.code) == (409, "stale_connection")
    with pytest.raises(ApiError, match="is at revision 1"):
        on_sqlite.client.delete_connection("provider", expected_revision=7, reason="x")
    with pytest.raises(ApiError, match="does not exist"):
        on_sqlite.client.set_connection("another", other, expected_revision=3)
    assert len(changes(on_sqlite)) == 1 and on_sqlite.client.connection("provider").document == CONNECTION


def test_a_connection_is_kept_while_a_version_uses_it(world: World) -> None:
    world.client.set_connection("provider", CONNECTION, expected_revision=0)
    version = version_of(world, "provider")
    world.client.finalize_version("answers", version.version)
    assert world.client.connection("provider").used_by == ("answers@1",)
    with pytest.raises(ApiError, match="is used by answers@1") as refused:
        world.client.delete_connection("provider", expected_revision=1, reason="tidy up")
    assert (refused.value.status, refused.value.code) == (409, "connection_in_use")
    world.client.retire("answers", 1, "contract ended", expected_stage=VersionStage.REGISTERED)
    world.client.delete_connection("provider", expected_revision=1, reason="tidy up")


def test_a_version_names_a_connection_of_its_own_workspace(on_sqlite: World) -> None:
    on_sqlite.client.post("/v1/workspaces", {"name": "acme"})
    on_sqlite.client.set_connection("acme:provider", CONNECTION, expected_revision=0)
    for name in ("nowhere", "acme:provider", "Not a name"):
        with pytest.raises(ApiError) as refused:
            version_of(on_sqlite, name)
        assert (refused.value.status, refused.value.field) == (422, "manifest.options.connection"), name
    assert on_sqlite.client.versions("answers") == ()
    assert version_of(on_sqlite, "provider", "acme:answers").version == 1
    assert on_sqlite.client.connection("acme:provider").used_by == ("acme:answers@1",)
    with pytest.raises(ApiError, match="there is no workspace"):
        on_sqlite.client.set_connection("nowhere:provider", CONNECTION, expected_revision=0)


def test_a_deleted_connection_is_named_by_no_new_version(on_sqlite: World) -> None:
    on_sqlite.client.set_connection("provider", CONNECTION, expected_revision=0)
    on_sqlite.client.delete_connection("provider", expected_revision=1, reason="x")
    with pytest.raises(ApiError, match="there is no connection 'provider'"):
        version_of(on_sqlite, "provider")


def test_only_some_roles_change_connections_and_only_in_their_workspace(on_sqlite: World) -> None:
    on_sqlite.client.post("/v1/workspaces", {"name": "acme"})
    on_sqlite.client.set_connection("provider", CONNECTION, expected_revision=0)
    manager = on_sqlite.client_with(on_sqlite.key("release-manager", workspace="acme", name="mia"))
    developer = on_sqlite.client_with(on_sqlite.key("developer", name="dora"))
    assert manager.set_connection("acme:provider", CONNECTION, expected_revision=0).changed_by == "mia"
    for client, name in ((manager, "provider"), (developer, "provider")):
        with pytest.raises(ApiError) as refused:
            client.set_connection(name, CONNECTION, expected_revision=1)
        assert refused.value.status == 403
    assert [one.name for one in manager.connections()] == ["acme:provider"]
    assert [one.name for one in developer.connections()] == ["provider"]
    assert [one.name for one in on_sqlite.client.connections(workspace="acme")] == ["acme:provider"]


KEY = "sk-live-1234567890"
WRONG = [
    ({**DOCUMENT, "secret": KEY}, "document.secret"),
    ({**DOCUMENT, "api_key": KEY}, "document.api_key"),
    ({**DOCUMENT, "endpoint": f"https://me:{KEY}@api.example.com"}, "document.endpoint"),
    ({**DOCUMENT, "endpoint": f"https://api.example.com/v1?key={KEY}"}, "document.endpoint"),
    ({**DOCUMENT, "endpoint": "ftp://api.example.com"}, "document.endpoint"),
    ({**DOCUMENT, "endpoint": "https://api.example.com:99999"}, "document.endpoint"),
    ({**DOCUMENT, "endpoint": "http://api.example.com"}, "document"),
    ({**DOCUMENT, "currency": "euro"}, "document.currency"),
    ({**DOCUMENT, "models": {"a b": {}}}, "document.models.a b"),
    ({**DOCUMENT, "models": {"a": {"input_per_million_tokens": -1}}}, "document.models.a.input_per_million_tokens"),
    ({**DOCUMENT, "models": {"a": {"context_tokens": 0}}}, "document.models.a.context_tokens"),
    ({**DOCUMENT, "limits": {"requests_per_minute": 0}}, "document.limits.requests_per_minute"),
    ({}, "document.endpoint"),
]


@pytest.mark.parametrize(("document", "field"), WRONG, ids=[f"{n} {field}" for n, (_, field) in enumerate(WRONG)])
def test_a_wrong_field_is_named_and_a_key_is_never_repeated(
    on_sqlite: World, document: Any, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ApiError) as refused:
        put(on_sqlite, document)
    assert (refused.value.status, refused.value.field) == (422, field)
    assert KEY not in json.dumps(refused.value.body) and KEY not in caplog.text


def test_an_address_without_tls_has_to_be_allowed(on_sqlite: World) -> None:
    document = {**DOCUMENT, "endpoint": "http://llm.internal:8000/v1", "allow_http": True, "secret": ""}
    assert put(on_sqlite, document)["document"]["endpoint"] == "http://llm.internal:8000/v1"


def test_prices_become_those_of_a_manifest_in_dollars_only() -> None:
    assert CONNECTION.price_of("small-1") is None
    price = CONNECTION.model_copy(update={"currency": "USD"}).price_of("small-1")
    assert price is not None
    assert price.usd_per_1k_input_tokens == pytest.approx(0.00015)
    assert price.usd_per_1k_output_tokens == pytest.approx(0.0006)
    assert CONNECTION.price_of("other") is None
    with pytest.raises(ValidationError):
        Connection.model_validate({**DOCUMENT, "models": {f"m{n}": {} for n in range(1_001)}})
