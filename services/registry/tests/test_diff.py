"""What differs between two versions."""

from typing import Any

import pytest

from modelyard import ApiError
from modelyard_contracts.admission import TensorDigest
from modelyard_contracts.manifest import ModelManifest, TrainingLineage, signed
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_registry.domain.tensors import MAX_STORED, compare, largest

from .conftest import World, manifest_of


def tensor(name: str, value: str, size_bytes: int = 100) -> TensorDigest:
    return TensorDigest(name=name, dtype="float32", shape=(size_bytes // 4,), size_bytes=size_bytes, digest=value)


def register(world: World, manifest: ModelManifest, **files: bytes) -> int:
    world.client.create_model(manifest.model)
    for data in files.values():
        world.client.put_blob(data)
    made = world.client.create_version(manifest, idempotency_key=str(sorted(files.items())))
    return world.client.finalize_version(manifest.model, made.version).version


def given_two(world: World, model: str = "elec") -> None:
    world.rules.tensors_of[b"old"] = [tensor("body.0", "a", 300), tensor("head.w", "b"), tensor("head.b", "c")]
    world.rules.tensors_of[b"new"] = [tensor("body.0", "a", 300), tensor("head.w", "B"), tensor("head.x", "x")]
    register(world, manifest_of("elec", same=b"same", m=b"old", gone=b"gone"), same=b"same", m=b"old", gone=b"gone")
    files: dict[str, bytes] = {"same": b"same", "m": b"new", "fresh": b"fresh"}
    columns = (Column(name="price", type=ColumnType.INTEGER), Column(name="volume", unit="MWh"))
    changed: dict[str, Any] = {
        **signed(Signature(columns=columns, output=Output(task=Task.BINARY, classes=("down", "rise")))),
        "training": TrainingLineage(recipe="other", dataset_digest="sha256:2", metrics={"accuracy": 0.95, "f1": 0.9}),
        "environment": {"scikit-learn": "1.7.0"},
        "options": {"output": "scores"},
    }
    register(world, manifest_of(model, **files).model_copy(update=changed), **files)


def test_a_diff_names_everything_that_changed(world: World) -> None:
    given_two(world)
    found = world.client.diff("elec", 1, 2)
    assert (found.before.version, found.after.version) == (1, 2)
    assert [(one.path, one.change, one.bytes_before, one.bytes_after) for one in found.files] == [
        ("fresh", "added", None, 5),
        ("gone", "removed", 4, None),
        ("m", "changed", 3, 3),
    ]
    assert found.identical_files == 1
    assert [(one.name, one.before, one.after) for one in found.metrics] == [("accuracy", 0.9, 0.95), ("f1", None, 0.9)]
    assert [(one.name, one.change, one.before, one.after) for one in found.columns] == [
        ("price", "changed", "number, may be missing", "integer, may be missing"),
        ("volume", "added", None, "number, may be missing, in MWh"),
    ]
    assert (found.classes_added, found.classes_removed) == (("rise",), ("up",))
    assert [(one.name, one.after) for one in found.data] == [("dataset_digest", "sha256:2")]
    assert [(one.name, one.after) for one in found.environment] == [("scikit-learn", "1.7.0")]
    assert [(one.name, one.after) for one in found.options] == [("output", "scores")]
    assert {one.name: one.after for one in found.parameters} == {"recipe": "other", "run_id": None}


def test_tensors_are_compared_by_digest_and_grouped_by_name(on_sqlite: World) -> None:
    given_two(on_sqlite)
    tensors = on_sqlite.client.diff("elec", 1, 2).tensors
    assert tensors is not None
    assert (tensors.identical_share, tensors.identical) == (0.6, 1)
    head = tensors.differing[0]
    assert (head.prefix, head.added, head.removed, head.changed, head.size_bytes) == ("head.*", 1, 1, 1, 300)


def test_a_version_equals_itself(on_sqlite: World) -> None:
    given_two(on_sqlite)
    found = on_sqlite.client.diff("elec", 2, 2)
    assert (found.files, found.identical_files, found.columns, found.metrics, found.parameters) == ((), 3, (), (), ())
    assert found.tensors is not None
    assert (found.tensors.identical_share, found.tensors.differing) == (1.0, ())


def test_versions_of_two_models_are_compared_if_the_caller_may_read_both(on_sqlite: World) -> None:
    on_sqlite.client.post("/v1/workspaces", {"name": "acme"})
    given_two(on_sqlite, "acme:elec")
    assert on_sqlite.client.diff("elec", 1, "acme:elec@1").after.model == "acme:elec"
    reader = on_sqlite.client_with(on_sqlite.key("viewer"))
    with pytest.raises(ApiError) as refused:
        reader.diff("elec", 1, "acme:elec@1")
    assert refused.value.status == 403


@pytest.mark.parametrize("other", ["", "0", "elec:2", "elec@", "@1", "elec@1@2", "99999999999"])
def test_a_malformed_other_version_is_refused(on_sqlite: World, other: str) -> None:
    on_sqlite.given_version()
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.diff("elec", 1, other)
    assert (refused.value.status, refused.value.field) == (422, "with")


def test_the_share_does_not_depend_on_names_and_order() -> None:
    first = [tensor("a", "1"), tensor("b", "2", 300)]
    renamed = [tensor("x.b", "2", 300), tensor("x.a", "1")]
    found = compare(first, renamed)
    assert found is not None
    assert (found.identical_share, found.identical) == (1.0, 2)
    assert compare(first, []) is None


def test_the_largest_tensors_are_stored() -> None:
    many = [tensor(f"t{n}", str(n), n * 4) for n in range(MAX_STORED + 10)]
    stored = largest(many)
    assert (len(stored), stored[0].name, stored[-1].name) == (MAX_STORED, f"t{MAX_STORED + 9}", "t10")
    found = compare(stored, stored)
    assert found is not None and not found.complete
