"""The Confluent Schema Registry subset, as its clients use it."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext
from httpx import Response

from modelyard_contracts import ResourceChanged
from modelyard_contracts.codec import Codec, avro_record, encode, schema_fingerprint
from modelyard_contracts.topics import all_topics, schema_text
from modelyard_registry.store.stored_schemas import StoredSchemas
from modelyard_registry.testing import ADMIN_KEY
from modelyard_registry.usecases import schemas as use
from modelyard_runtime.errors import StartupError

from .conftest import World
from .test_avro import field, record

ONE = record(field("a", "string"))
TWO = record(field("a", "string"), field("b", "int", default=0))
UNFIT = record(field("a", "string"), field("b", "int"))
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


def call(world: World, method: str, path: str, body: Any = None, **query: Any) -> Response:
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": MEDIA_TYPE}
    content = None if body is None else json.dumps(body)
    answer: Response = world.http.request(method, path, content=content, headers=headers, params=query)
    return answer


def register(world: World, subject: str, text: str) -> Response:
    return call(world, "POST", f"/subjects/{subject}/versions", {"schema": text})


def refused(answer: Response, error_code: int) -> str:
    """The message of a refusal in Confluent's form; the HTTP status is the first three digits."""
    assert (answer.status_code, answer.json()["error_code"]) == (error_code // 100, error_code), answer.text
    assert answer.headers["content-type"].startswith(MEDIA_TYPE)
    return str(answer.json()["message"])


def test_it_is_seeded_with_the_ids_of_the_topics(on_sqlite: World) -> None:
    for spec in all_topics():
        newest = call(on_sqlite, "GET", f"/subjects/{spec.subject}/versions/latest").json()
        assert (newest["id"], newest["version"]) == (spec.schema_ids[-1], len(spec.schema_ids))
        text = call(on_sqlite, "GET", f"/schemas/ids/{spec.schema_ids[-1]}").json()["schema"]
        assert text == schema_text(spec.name)
        print_ = schema_fingerprint(schema_text(spec.name)).hex()
        assert call(on_sqlite, "GET", f"/schemas/fingerprints/{print_}").json()["id"] == spec.schema_ids[-1]


def test_a_merged_schema_that_was_changed_stops_the_start(on_sqlite: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "schema_text", lambda name, version: ONE)
    with pytest.raises(StartupError, match="never changes"):
        use.seed(on_sqlite.registry.deps)


def test_a_new_schema_gets_an_id_above_those_of_releases_and_keeps_it_everywhere(world: World) -> None:
    first = register(world, "s-value", ONE).json()
    assert first["id"] > 100_000
    assert register(world, "s-value", json.dumps(json.loads(ONE), indent=2)).json() == first
    assert register(world, "other/subject", ONE).json() == first
    assert call(world, "GET", "/subjects/s-value/versions").json() == [1]
    assert call(world, "GET", f"/schemas/ids/{first['id']}/subjects").json() == ["other/subject", "s-value"]
    assert call(world, "GET", f"/schemas/ids/{first['id']}/versions").json() == [
        {"subject": "other/subject", "version": 1},
        {"subject": "s-value", "version": 1},
    ]
    found = call(world, "POST", "/subjects/other%2Fsubject", {"schema": ONE}).json()
    assert found == {"subject": "other/subject", "version": 1, "id": first["id"], "schema": ONE}
    assert call(world, "GET", "/subjects/other%2Fsubject/versions/1/schema").json() == json.loads(ONE)


def test_registering_at_once_gives_one_id_per_schema(world: World) -> None:
    texts = [record(field("a", "string"), field(f"f{number % 4}", "int", default=0)) for number in range(16)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda text: register(world, "at-once", text).json()["id"], texts))
    assert len(set(ids)) == 4
    assert call(world, "GET", "/subjects/at-once/versions").json() == [1, 2, 3, 4]


def test_an_unfit_version_is_409_with_the_reason_and_changes_nothing(world: World) -> None:
    register(world, "s", ONE)
    message = refused(register(world, "s", UNFIT), 40901)
    assert "cannot read the older" in message and "b" in message
    assert call(world, "GET", "/subjects/s/versions").json() == [1]
    assert register(world, "s", TWO).status_code == 200
    refused(register(world, "s", record(field("a", "string"), field("b", "string", default=""))), 40901)


def test_our_own_subjects_take_only_what_all_readers_can_read(on_sqlite: World) -> None:
    subject = "registry.resource.changed.v1-value"
    schema = json.loads(schema_text("registry.resource.changed.v1"))
    schema["fields"].append({"name": "extra", "type": "string"})
    refused(register(on_sqlite, subject, json.dumps(schema)), 40901)
    schema["fields"][-1]["default"] = ""
    new = register(on_sqlite, subject, json.dumps(schema)).json()["id"]
    assert new > 100_000
    codec = Codec(StoredSchemas(on_sqlite.registry.deps.storage))
    on_sqlite.client.create_model("elec")
    body = encode(on_sqlite.queued()[0])
    foreign = b"\x00" + new.to_bytes(4, "big") + body[5:] + b"\x00"  # the new field, an empty string
    assert codec.decode(foreign, ResourceChanged) == on_sqlite.queued()[0]


def test_levels_are_global_and_per_subject(world: World) -> None:
    assert call(world, "GET", "/config").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}
    refused(call(world, "GET", "/config/s"), 40408)
    assert call(world, "GET", "/config/s", defaultToGlobal="true").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}
    register(world, "s", ONE)
    assert call(world, "PUT", "/config/s", {"compatibility": "FORWARD"}).json() == {"compatibility": "FORWARD"}
    assert register(world, "s", UNFIT).status_code == 200
    assert call(world, "DELETE", "/config/s").json() == {"compatibilityLevel": "FORWARD"}
    refused(call(world, "GET", "/config/s"), 40408)
    refused(call(world, "PUT", "/config/s", {"compatibility": "SOMETIMES"}), 42203)
    refused(call(world, "PUT", "/config", {}), 42203)
    call(world, "PUT", "/config", {"compatibility": "NONE"})
    assert call(world, "GET", "/config").json() == {"compatibilityLevel": "NONE"}


def test_compatibility_is_answered_for_the_version_that_was_asked_about(world: World) -> None:
    register(world, "s", ONE)
    register(world, "s", TWO)

    def check(version: str, text: str, **query: Any) -> Response:
        return call(world, "POST", f"/compatibility/subjects/s/versions{version}", {"schema": text}, **query)

    third = record(field("a", "string"), field("b", "string", default=""))
    assert check("/1", third).json() == {"is_compatible": True}
    assert check("/2", third).json() == {"is_compatible": False}
    assert check("/latest", third).json() == {"is_compatible": False}
    verbose = check("", third, verbose="true").json()
    assert not verbose["is_compatible"] and verbose["messages"]
    refused(check("/9", third), 40402)
    refused(check("/1", "{"), 42201)
    refused(call(world, "POST", "/compatibility/subjects/unknown/versions/latest", {"schema": ONE}), 40401)
    assert call(world, "POST", "/compatibility/subjects/new/versions", {"schema": ONE}).json() == {
        "is_compatible": True
    }


def test_a_deleted_subject_is_hidden_then_forgotten_but_its_schemas_stay(world: World) -> None:
    id_ = register(world, "s", ONE).json()["id"]
    register(world, "s", TWO)
    refused(call(world, "DELETE", "/subjects/s", permanent="true"), 40405)
    assert call(world, "DELETE", "/subjects/s").json() == [1, 2]
    refused(call(world, "DELETE", "/subjects/s"), 40404)
    refused(call(world, "GET", "/subjects/s/versions"), 40401)
    assert "s" not in call(world, "GET", "/subjects").json()
    assert "s" in call(world, "GET", "/subjects", deleted="true").json()
    assert call(world, "GET", f"/schemas/ids/{id_}").json() == {"schema": ONE}
    register(world, "s", ONE)
    assert call(world, "GET", "/subjects/s/versions").json() == [3]
    assert call(world, "DELETE", "/subjects/s/versions/3").json() == 3
    assert call(world, "DELETE", "/subjects/s", permanent="true").json() == [1, 2, 3]
    refused(call(world, "DELETE", "/subjects/s"), 40401)


@pytest.mark.parametrize("version", ["-7", "0", "x", "99999999999999999999", "%C2%B2"])
def test_a_version_that_is_none_is_42202(on_sqlite: World, version: str) -> None:
    register(on_sqlite, "s", ONE)
    refused(call(on_sqlite, "GET", f"/subjects/s/versions/{version}"), 42202)


def test_what_is_not_there_has_its_own_number(on_sqlite: World) -> None:
    register(on_sqlite, "s", ONE)
    refused(call(on_sqlite, "GET", "/subjects/unknown/versions"), 40401)
    refused(call(on_sqlite, "GET", "/subjects/unknown/versions/1"), 40401)
    refused(call(on_sqlite, "GET", "/subjects/s/versions/9"), 40402)
    refused(call(on_sqlite, "POST", "/subjects/s", {"schema": TWO}), 40403)
    for id_ in ("99", "x", "-1", "99999999999999999999", "4294967296"):
        refused(call(on_sqlite, "GET", f"/schemas/ids/{id_}"), 40403)
    refused(call(on_sqlite, "GET", "/schemas/fingerprints/0000000000000000"), 40403)
    assert call(on_sqlite, "GET", "/schemas/types").json() == ["AVRO"]


@pytest.mark.parametrize(
    "body",
    [
        [], {}, {"schema": ""}, {"schema": 1}, {"schema": "{"}, {"schema": '{"type":"record"}'},
        {"schema": ONE, "schemaType": "PROTOBUF"}, {"schema": ONE, "references": [{"name": "x"}]},
    ],
)  # fmt: skip
def test_what_is_no_schema_is_42201(on_sqlite: World, body: Any) -> None:
    refused(call(on_sqlite, "POST", "/subjects/s/versions", body), 42201)
    assert "s" not in call(on_sqlite, "GET", "/subjects").json()


def test_deleting_and_levels_need_an_admin(on_sqlite: World) -> None:
    key = on_sqlite.key("developer")
    headers = {"authorization": f"Bearer {key}"}
    assert on_sqlite.http.post("/subjects/s/versions", json={"schema": ONE}, headers=headers).status_code == 200
    assert on_sqlite.http.put("/config", json={"compatibility": "NONE"}, headers=headers).status_code == 403
    assert on_sqlite.http.delete("/subjects/s", headers=headers).status_code == 403


def test_a_subject_of_the_platform_cannot_be_deleted(on_sqlite: World) -> None:
    subject = all_topics()[0].subject
    refused(call(on_sqlite, "DELETE", f"/subjects/{subject}"), 42205)
    refused(call(on_sqlite, "DELETE", f"/subjects/{subject}/versions/latest"), 42205)
    assert subject in call(on_sqlite, "GET", "/subjects").json()


@pytest.fixture
def url(on_sqlite: World) -> str:
    """The registry on a real port, for clients with an HTTP stack of their own."""
    return on_sqlite.opened.serve()


def test_confluents_own_serializer_and_deserializer_work_unchanged(on_sqlite: World, url: str) -> None:
    client = SchemaRegistryClient({"url": url, "basic.auth.user.info": f"any:{ADMIN_KEY}"})
    context = SerializationContext("orders.placed.v1", MessageField.VALUE)
    serialize = AvroSerializer(client, ONE)
    data = serialize({"a": "hello"}, context)
    assert AvroDeserializer(client)(data, context) == {"a": "hello"}
    assert client.get_latest_version("orders.placed.v1-value").version == 1
    assert client.test_compatibility("orders.placed.v1-value", Schema(TWO, "AVRO"))
    assert not client.test_compatibility("orders.placed.v1-value", Schema(UNFIT, "AVRO"))
    with pytest.raises(SchemaRegistryError) as unfit:
        AvroSerializer(client, UNFIT)({"a": "x", "b": 1}, context)
    assert unfit.value.http_status_code == 409
    newest = AvroSerializer(client, None, conf={"auto.register.schemas": False, "use.latest.version": True})
    assert AvroDeserializer(client, TWO)(newest({"a": "y"}, context), context) == {"a": "y", "b": 0}
    assert client.get_compatibility() == "FULL_TRANSITIVE"
    client.set_compatibility("orders.placed.v1-value", "BACKWARD")
    assert client.get_compatibility("orders.placed.v1-value") == "BACKWARD"
    assert "orders.placed.v1-value" in client.get_subjects()
    assert client.delete_subject("orders.placed.v1-value") == [1]


def test_an_upstream_with_confluents_serializer_writes_what_our_codec_reads(on_sqlite: World, url: str) -> None:
    on_sqlite.client.create_model("elec")
    [message] = on_sqlite.queued()
    client = SchemaRegistryClient({"url": url, "bearer.auth.credentials.source": "STATIC_TOKEN",
                                   "bearer.auth.token": ADMIN_KEY, "bearer.auth.logical.cluster": "x",
                                   "bearer.auth.identity.pool.id": "x"})  # fmt: skip
    topic = ResourceChanged.TOPIC
    context = SerializationContext(topic, MessageField.VALUE)
    serialize = AvroSerializer(
        client, schema_text(topic), lambda value, _: avro_record(value), conf={"auto.register.schemas": True}
    )
    data = serialize(message, context)
    assert data == encode(message)
    assert Codec().decode(data, ResourceChanged) == message


def test_a_client_without_a_key_is_refused(url: str) -> None:
    client = SchemaRegistryClient({"url": url, "max.retries": 0})
    with pytest.raises(SchemaRegistryError) as refused_:
        client.get_subjects()
    assert refused_.value.http_status_code == 401
