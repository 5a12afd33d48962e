"""Bytes are the identity: what was registered comes back byte for byte, whatever this release knows."""

import json
from typing import Any

import pytest

from modelyard import ApiError
from modelyard_contracts import Verdict, VersionStage
from modelyard_contracts.documents import canonical_json
from modelyard_contracts.manifest import ManifestFile, ModelManifest, digest_of
from modelyard_contracts.policies import POLICIES, GatePolicy
from modelyard_registry.domain.kinds import ModelKind
from modelyard_registry.domain.kinds import model as model_kind

from .conftest import World, evaluation, manifest_of


class NewerManifest(ModelManifest):
    """The manifest class of a later release: one more optional field."""

    retention_days: int | None = None


class NewerGate(GatePolicy):
    """The gate policy of a later release."""

    quorum: int = 2


def send(world: World, manifest: str | dict[str, Any], key: str = "k") -> dict[str, Any]:
    body = {"manifest": manifest, "idempotency_key": key}
    made: dict[str, Any] = world.client.post("/v1/models/elec/versions", body)
    return made


def written(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ManifestFile.write(manifest_of("elec", m=b"x")).data)
    return {**document, **changes}


def test_bytes_that_no_release_of_ours_would_write_are_stored_as_they_came(world: World) -> None:
    world.client.create_model("elec")
    text = json.dumps(written(), indent=3)
    made = send(world, text)
    assert made["digest"] == digest_of(text.encode())
    assert world.client.request("GET", "/v1/models/elec/versions/1/manifest").content == text.encode()
    assert world.client.manifest_file("elec", 1).data == text.encode()


def test_the_schema_id_is_read_from_the_manifest_and_never_computed(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    made = send(on_sqlite, json.dumps(written(feature_schema_id="chosen-by-its-writer")))
    assert made["feature_schema_id"] == "chosen-by-its-writer"


def test_one_schema_id_with_two_signatures_is_refused(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    send(on_sqlite, json.dumps(written(feature_schema_id="fs-1")), "one")
    other = written(feature_schema_id="fs-1")
    other["signature"]["columns"][0]["name"] = "volume"
    with pytest.raises(ApiError, match="fs-1 stands for another signature") as refused:
        send(on_sqlite, json.dumps(other), "two")
    assert (refused.value.status, refused.value.code) == (409, "signature_conflict")
    assert refused.value.field == "manifest.feature_schema_id"
    same = written(feature_schema_id="fs-1", flavour="torch")
    assert send(on_sqlite, json.dumps(same), "three")["version"] == 2


@pytest.mark.parametrize("field", ["schema_version", "kind", "task", "feature_schema_id", "signature"])
def test_bytes_must_state_what_readers_would_otherwise_derive(on_sqlite: World, field: str) -> None:
    on_sqlite.client.create_model("elec")
    document = written()
    del document[field]
    with pytest.raises(ApiError) as refused:
        send(on_sqlite, json.dumps(document))
    assert (refused.value.status, refused.value.field) == (422, f"manifest.{field}")


def test_an_object_is_written_by_the_registry(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    document = written()
    made = send(on_sqlite, document)
    assert made["digest"] == digest_of(canonical_json(document))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 9, "min_release": "3.1"}, "schema_version must be 1"),
        ({"added_by_a_newer_release": 1}, "added_by_a_newer_release"),
    ],
)
def test_a_manifest_of_a_newer_release_is_refused_at_the_door(
    on_sqlite: World, change: dict[str, Any], said: str
) -> None:
    on_sqlite.client.create_model("elec")
    with pytest.raises(ApiError, match=said) as refused:
        send(on_sqlite, json.dumps(written(**change)))
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"model": "a", "model": "b"}', "'model' is there twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 5_000 + "1" + "}" * 5_000, "nested too deeply"),
        ('{"model": "\\ud800"}', "half a character"),
        ('{"model": NaN}', "NaN"),
        ('{"model": 1e999}', "NaN"),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(on_sqlite: World, text: str, said: str) -> None:
    on_sqlite.client.create_model("elec")
    with pytest.raises(ApiError, match=said) as refused:
        send(on_sqlite, text)
    assert (refused.value.status, refused.value.field) == (422, "manifest")


def test_a_count_that_no_reader_could_hold_is_refused(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    feature = {"name": "price", "edges": [0.5], "categories": [], "counts": [0, 0, 0, 2**64, 1]}
    with pytest.raises(ApiError) as refused:
        send(on_sqlite, json.dumps(written(reference={"rows": 1, "features": [feature]})))
    assert (refused.value.status, refused.value.field) == (422, "manifest.reference.features.0.counts.3")


def test_a_release_that_knows_more_fields_finds_every_old_version(
    on_sqlite: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sqlite.client.create_model("elec")
    on_sqlite.client.put_blob(b"x")
    text = json.dumps(written())
    old = send(on_sqlite, text, "old")
    monkeypatch.setattr(model_kind, "ModelManifest", NewerManifest)
    assert send(on_sqlite, text, "old") == old
    with pytest.raises(ApiError, match="version 1 of model 'elec' already has the digest"):
        send(on_sqlite, text, "new")
    finalized = on_sqlite.client.finalize_version("elec", 1)
    assert (finalized.digest, finalized.stage) == (digest_of(text.encode()), VersionStage.REGISTERED)
    assert send(on_sqlite, json.dumps(written(retention_days=9)), "newer")["version"] == 2


def test_what_a_newer_release_stored_is_served_evaluated_and_described(
    on_sqlite: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_sqlite.client.create_model("elec")
    on_sqlite.client.put_blob(b"x")
    with monkeypatch.context() as newer:
        newer.setattr(model_kind, "ModelManifest", NewerManifest)
        newer.setattr(ModelKind, "policies", {**POLICIES, "gate": NewerGate})
        text = json.dumps(written(retention_days=9))
        send(on_sqlite, text)
        document = {"document": NewerGate(approval="automatic").model_dump(mode="json")}
        on_sqlite.client.request("PUT", "/v1/models/elec/policies/gate", json=document)
    version = on_sqlite.client.finalize_version("elec", 1)
    assert on_sqlite.client.request("GET", "/v1/models/elec/versions/1/manifest").content == text.encode()
    assert version.digest == digest_of(text.encode())
    assert "| price | number |" in on_sqlite.client.request("GET", "/v1/models/elec/versions/1/card").text
    on_sqlite.deliver(evaluation(version, Verdict.DEPLOY))
    assert on_sqlite.stage_of(version) is VersionStage.APPROVED
    assert on_sqlite.client.policy("elec", "gate").approval == "automatic"
