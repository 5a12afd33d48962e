from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from modelyard import ApiError, DigestMismatch, RegistryClient
from modelyard_contracts import ResourceChange, VersionStage
from modelyard_contracts.manifest import ManifestFile, digest_of

from .conftest import World, manifest_of


def test_a_version_is_registered_in_two_phases_and_comes_back_byte_for_byte(on_sqlite: World, tmp_path: Path) -> None:
    on_sqlite.client.create_model("elec")
    sources = {"model.skops": b"weights" * 1000, "a/b.json": b"{}"}
    for name, data in sources.items():
        (tmp_path / name.replace("/", "_")).write_bytes(data)
    manifest = manifest_of("elec", **sources)

    files = {name: tmp_path / name.replace("/", "_") for name in sources}
    version = on_sqlite.client.register(manifest, files, idempotency_key="run-1")

    assert (version.version, version.stage) == (1, VersionStage.REGISTERED)
    assert version.digest == ManifestFile.write(manifest).digest
    assert on_sqlite.client.manifest("elec", 1) == manifest
    folder = on_sqlite.client.download(on_sqlite.client.manifest_file("elec", 1), tmp_path / "out")
    assert {path: (folder / path).read_bytes() for path in sources} == sources
    assert digest_of((folder / "manifest.json").read_bytes()) == version.digest


def test_a_repeat_under_the_same_key_is_the_same_version(world: World) -> None:
    first = world.given_version(VersionStage.PENDING)
    again = world.client.create_version(manifest_of(m=b"bytes 1"), idempotency_key="key-1")
    assert again.version == first.version
    done = world.client.finalize_version("elec", 1)
    published = len(world.queued())
    assert world.client.finalize_version("elec", 1) == done
    assert len(world.queued()) == published
    assert world.client.create_version(manifest_of(m=b"bytes 1"), idempotency_key="key-1").stage == "registered"


def test_equal_bytes_under_another_key_are_refused_naming_the_version(world: World) -> None:
    world.given_version()
    with pytest.raises(ApiError, match="version 1 of model 'elec' already has the digest") as refused:
        world.client.create_version(manifest_of(m=b"bytes 1"), idempotency_key="another")
    assert (refused.value.status, refused.value.code) == (409, "duplicate_version")


def test_other_bytes_under_a_used_key_are_refused(world: World) -> None:
    world.given_version()
    with pytest.raises(ApiError) as refused:
        world.client.create_version(manifest_of(m=b"other"), idempotency_key="key-1")
    assert (refused.value.status, refused.value.field) == (409, "idempotency_key")


def test_finalize_names_the_blobs_that_are_missing(world: World) -> None:
    world.client.create_model("elec")
    pending = world.client.create_version(manifest_of(m=b"here", n=b"not here"), idempotency_key="k")
    assert set(pending.missing_blobs) == {digest_of(b"here"), digest_of(b"not here")}
    world.client.put_blob(b"here")
    with pytest.raises(ApiError) as refused:
        world.client.finalize_version("elec", 1)
    assert refused.value.code == "missing_blobs"
    assert digest_of(b"not here") in refused.value.detail and digest_of(b"here") not in refused.value.detail
    assert world.client.version("elec", 1).stage is VersionStage.PENDING
    world.client.put_blob(b"not here")
    assert world.client.finalize_version("elec", 1).stage is VersionStage.REGISTERED


def test_a_blob_that_was_damaged_on_disk_counts_as_missing_and_can_be_uploaded_again(on_sqlite: World) -> None:
    on_sqlite.given_version(VersionStage.PENDING)
    path = on_sqlite.blob_file(digest_of(b"bytes 1"))
    path.write_bytes(b"bytes X")
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.finalize_version("elec", 1)
    assert digest_of(b"bytes 1") in refused.value.detail
    on_sqlite.client.put_blob(b"bytes 1")
    assert on_sqlite.client.finalize_version("elec", 1).stage is VersionStage.REGISTERED


def test_a_wrong_size_is_refused(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    on_sqlite.client.put_blob(b"four")
    manifest = manifest_of(m=b"four")
    lying = manifest.model_copy(update={"files": (manifest.files[0].model_copy(update={"size_bytes": 5}),)})
    on_sqlite.client.create_version(lying, idempotency_key="k")
    with pytest.raises(ApiError, match="has 4 bytes, the manifest says 5") as refused:
        on_sqlite.client.finalize_version("elec", 1)
    assert refused.value.field == "manifest.files"


def _broken(**changes: Any) -> dict[str, Any]:
    return {**manifest_of(m=b"x").model_dump(mode="json"), **changes}


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        (_broken(files=[]), "manifest.files"),
        (_broken(files=[{"path": "../x", "digest": digest_of(b""), "size_bytes": 0}]), "manifest.files.0.path"),
        (_broken(files=[{"path": "x/../../y", "digest": digest_of(b""), "size_bytes": 0}]), "manifest.files.0.path"),
        (_broken(files=[{"path": "x", "digest": "sha256:00", "size_bytes": 0}]), "manifest.files.0.digest"),
        (_broken(files=[{"path": "x", "digest": digest_of(b""), "size_bytes": -1}]), "manifest.files.0.size_bytes"),
        (_broken(files=[{"path": "x", "digest": digest_of(b""), "size_bytes": 0}] * 2), "manifest.files"),
        (_broken(files=[{"path": "manifest.json", "digest": digest_of(b""), "size_bytes": 0}]), "manifest.files"),
        (_broken(signature={"columns": []}), "manifest.columns"),
        (_broken(surprise=1), "manifest.surprise"),
        (_broken(model="other"), "manifest.model"),
        ("no object", "manifest"),
        (None, "manifest"),
    ],
)
def test_a_bad_manifest_is_refused_with_the_field_named(on_sqlite: World, manifest: Any, field: str) -> None:
    on_sqlite.client.create_model("elec")
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request(
            "POST", "/v1/models/elec/versions", json={"manifest": manifest, "idempotency_key": "k"}
        )
    assert (refused.value.status, refused.value.field) == (422, field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_outside_of_json_are_refused(on_sqlite: World, number: str) -> None:
    on_sqlite.client.create_model("elec")
    body = '{"idempotency_key":"k","manifest":' + manifest_of(m=b"x").model_dump_json().replace("0.9", number) + "}"
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request(
            "POST", "/v1/models/elec/versions", content=body, headers={"content-type": "application/json"}
        )
    assert (refused.value.status, refused.value.field) == (422, "manifest")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE versions SET digest = 'x'",
        "UPDATE versions SET manifest = '{}'",
        "UPDATE versions SET version = 7",
        "DELETE FROM versions",
        "UPDATE history SET reason = 'it was not me'",
        "DELETE FROM history",
        "DELETE FROM policies",
        "UPDATE avro_schemas SET text = '\"null\"' WHERE id = 1",
    ],
)
def test_immutable_rows_cannot_be_changed_even_by_sql(world: World, change: str) -> None:
    world.given_version(VersionStage.EVALUATED)
    with pytest.raises(DBAPIError, match="never change"), world.registry.database.transaction() as transaction:
        transaction.connection.execute(text(change))


def test_revisions_positions_and_numbers_have_no_gaps_under_concurrent_writers(world: World) -> None:
    world.client.create_model("elec")
    for number in range(8):
        world.client.put_blob(f"writer {number}".encode())

    def make(number: int) -> None:
        data = f"writer {number}".encode()
        made = world.client.create_version(manifest_of(m=data), idempotency_key=f"writer-{number}")
        world.client.finalize_version("elec", made.version)
        world.client.move_alias("elec", f"a{number}", made.version, expected_generation=0, reason="at once")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(8)))

    events = world.queued()
    published = [(event.revision, event.change.value, event.version) for event in events]
    assert [event.revision for event in events] == list(range(1, 18)), published
    assert sorted(version.version for version in world.client.versions("elec")) == list(range(1, 9))
    history = world.client.history("elec")
    assert [entry.position for entry in history] == list(range(1, 18))
    assert [entry.event_id for entry in history] == [str(event.event_id) for event in events]


def test_the_same_request_sent_twice_at_once_makes_one_version(world: World) -> None:
    world.client.create_model("elec")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: world.client.create_version(manifest_of(m=b"x"), idempotency_key="k"), range(8)))
    assert {one.version for one in made} == {1}
    assert len(world.client.versions("elec")) == 1


def test_versions_are_listed_by_stage(world: World) -> None:
    approved, registered = world.given_version(VersionStage.APPROVED), world.given_version()
    listed = {stage: [one.version for one in world.client.versions("elec", stage=stage)] for stage in VersionStage}
    assert {stage: found for stage, found in listed.items() if found} == {
        VersionStage.APPROVED: [approved.version],
        VersionStage.REGISTERED: [registered.version],
    }


def test_a_registered_version_is_published_in_the_timeline_that_made_it(world: World) -> None:
    world.given_version()
    created, registered = world.queued()
    assert (created.change, created.revision) == (ResourceChange.CREATED, 1)
    assert (registered.change, registered.version) == (ResourceChange.VERSION_REGISTERED, 1)
    assert registered.correlation_id == world.correlation_id
    assert (registered.stage, registered.previous_stage) == (VersionStage.REGISTERED, VersionStage.PENDING)


def test_people_decide_by_the_table_with_a_reason(world: World) -> None:
    version = world.given_version(VersionStage.EVALUATED)
    approved = world.client.approve("elec", version.version, "looked at the report", actor="ada")
    assert approved.stage is VersionStage.APPROVED
    entry = world.client.history("elec")[-1]
    assert (entry.actor, entry.reason) == ("ada", "looked at the report")
    with pytest.raises(ApiError, match="approved cannot be approved") as refused:
        world.client.approve("elec", version.version, "again")
    assert (refused.value.status, refused.value.code) == (409, "illegal_move")
    assert world.client.reject("elec", version.version, "second thoughts").stage is VersionStage.REJECTED
    assert world.client.retire("elec", version.version, "gone").stage is VersionStage.RETIRED


def test_of_two_people_who_decide_at_one_moment_the_second_does_not_overrule_the_first(world: World) -> None:
    version = world.given_version(VersionStage.EVALUATED).version
    world.client.reject("elec", version, "harms a class", expected_stage=VersionStage.EVALUATED, actor="rita")
    with pytest.raises(ApiError, match="version 1 is rejected by now, not evaluated") as refused:
        world.client.approve("elec", version, "fine", expected_stage=VersionStage.EVALUATED, actor="ada")
    assert (refused.value.status, refused.value.code) == (409, "stale_stage")
    assert world.client.version("elec", version).stage is VersionStage.REJECTED


def test_a_decision_without_a_reason_is_refused(on_sqlite: World) -> None:
    version = on_sqlite.given_version(VersionStage.EVALUATED)
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.approve("elec", version.version, "")
    assert (refused.value.status, refused.value.field) == (422, "reason")


@pytest.mark.parametrize("decision", ["reject", "retire"])
def test_a_version_that_serves_is_neither_rejected_nor_retired(world: World, decision: str) -> None:
    version = world.given_version(VersionStage.LIVE)
    with pytest.raises(ApiError, match="still has the alias champion; move it first") as refused:
        getattr(world.client, decision)("elec", version.version, "no longer wanted")
    assert (refused.value.status, refused.value.code) == (409, "alias_in_use")
    assert world.client.version("elec", version.version).stage is VersionStage.LIVE


def test_unknown_resources_are_404_and_named(world: World) -> None:
    world.client.create_model("elec")
    for call, code in (
        (lambda: world.client.versions("unknown"), "model_not_found"),
        (lambda: world.client.version("elec", 9), "version_not_found"),
        (lambda: world.client.version("unknown", 9), "model_not_found"),
        (lambda: world.client.finalize_version("elec", 9), "version_not_found"),
        (lambda: world.client.approve("elec", 9, "x"), "version_not_found"),
        (lambda: world.client.history("unknown"), "model_not_found"),
        (lambda: world.client.alias("unknown", "champion"), "model_not_found"),
        (lambda: world.client.policy_info("elec", "nonsense"), "not_found"),
        (lambda: world.client.dataset("sha256:" + "0" * 64), "dataset_not_found"),
    ):
        with pytest.raises(ApiError) as refused:
            call()
        assert (refused.value.status, refused.value.code) == (404, code)


def test_a_huge_version_number_is_refused(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.version("elec", 10**30)
    assert refused.value.status == 422


def test_models_are_paged_with_their_aliases(world: World) -> None:
    for name in ("c", "a", "b"):
        world.client.create_model(name)
    version = world.given_version(VersionStage.LIVE)
    page = world.client.get("/v1/models", limit=2)
    assert ([one["name"] for one in page["items"]], page["next_after"]) == (["a", "b"], "b")
    assert {one.name: one.aliases for one in world.client.models()}["elec"] == {"champion": version.version}


def test_a_model_that_exists_with_other_content_is_refused(world: World) -> None:
    assert world.client.create_model("elec", owner="ada").revision == 1
    assert world.client.create_model("elec", owner="ada").revision == 1
    with pytest.raises(ApiError) as refused:
        world.client.create_model("elec", owner="bob")
    assert (refused.value.status, refused.value.field) == (409, "owner")


@pytest.mark.parametrize("name", ["", "Elec", "a/b", "-x", "x" * 129, "a\x00b"])
def test_a_bad_model_name_is_refused(on_sqlite: World, name: str) -> None:
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.create_model(name)
    assert (refused.value.status, refused.value.field) == (422, "name")


def test_a_download_that_is_not_what_it_should_be_keeps_nothing(on_sqlite: World, tmp_path: Path) -> None:
    version = on_sqlite.given_version()
    on_sqlite.blob_file(digest_of(b"bytes 1")).write_bytes(b"bytes Z")
    with pytest.raises(DigestMismatch):
        on_sqlite.client.download(on_sqlite.client.manifest_file("elec", version.version), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_cached_download_asks_the_registry_for_no_bytes(on_sqlite: World, tmp_path: Path) -> None:
    version = on_sqlite.given_version()
    client = RegistryClient(
        "http://registry", "an-admin-key-for-tests", transport=on_sqlite.opened.transport, cache_dir=tmp_path / "cache"
    )
    manifest = client.manifest_file("elec", version.version)
    client.download(manifest, tmp_path / "one")
    on_sqlite.blob_file(digest_of(b"bytes 1")).unlink()
    assert (client.download(manifest, tmp_path / "two") / "m").read_bytes() == b"bytes 1"
