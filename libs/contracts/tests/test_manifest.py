"""What a manifest pins and what it refuses."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from modelyard_contracts.manifest import FeatureReference, FileEntry, ManifestFile, ModelManifest, digest_of
from modelyard_contracts.signature import Column, Output, Signature, Task, new_schema_id

BINARY = Output(task=Task.BINARY, classes=("no", "yes"))


def manifest(**fields: Any) -> ModelManifest:
    given = {
        "model": "churn",
        "flavour": "sklearn",
        "files": [{"path": "model.skops", "digest": digest_of(b"bytes"), "size_bytes": 5}],
        "signature": {
            "columns": [{"name": "age"}, {"name": "plan", "type": "category"}],
            "output": BINARY.model_dump(),
        },
        "training": {"recipe": "by-hand"},
    }
    return ModelManifest.model_validate({**given, **fields})


def digest(**fields: Any) -> str:
    return ManifestFile.write(manifest(**fields)).digest


def test_equal_manifests_have_equal_digests_whatever_the_order_of_their_keys() -> None:
    assert digest(environment={"b": "1", "a": "2"}) == digest(environment={"a": "2", "b": "1"})


def test_one_changed_byte_of_a_file_changes_the_digest() -> None:
    assert digest(files=[{"path": "model.skops", "digest": digest_of(b"bytez"), "size_bytes": 5}]) != digest()


def test_columns_are_positional_by_type() -> None:
    signature = manifest().signature
    assert (signature.numeric, signature.categorical) == (("age",), ("plan",))


def test_the_order_of_columns_is_part_of_the_signature() -> None:
    one = Signature(columns=(Column(name="a"), Column(name="b")), output=BINARY)
    two = Signature(columns=(Column(name="b"), Column(name="a")), output=BINARY)
    assert new_schema_id(one) != new_schema_id(two)


@pytest.mark.parametrize("path", ["../etc/passwd", "a/../../b", "/etc/passwd", ""])
def test_a_file_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        FileEntry(path=path, digest=digest_of(b""), size_bytes=0)


def test_a_feature_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be unique"):
        Signature(columns=(Column(name="a"), Column(name="a")), output=BINARY)


def test_counts_that_do_not_fit_the_bins_are_refused() -> None:
    with pytest.raises(ValidationError, match="age: 4 counts"):
        FeatureReference(name="age", edges=(1.0, 2.0), counts=(0, 0, 0, 1))


def test_more_features_than_can_be_watched_are_refused_with_the_limit() -> None:
    with pytest.raises(ValidationError, match="1001 features, at most 1000"):
        Signature(columns=tuple(Column(name=f"f{number}") for number in range(1_001)), output=BINARY)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"edges": (2.0, 1.0), "counts": (0,) * 6}, "age: edges must be strictly increasing"),
        ({"edges": (1.0, 1.0), "counts": (0,) * 6}, "age: edges must be strictly increasing"),
        ({"edges": (math.nan,), "counts": (0,) * 5}, "(?s)edges.0.*finite number"),
        ({"edges": (math.inf,), "counts": (0,) * 5}, "(?s)edges.0.*finite number"),
        ({"edges": (1.0,), "counts": (0, 0, 0, 5, -1)}, "(?s)counts.4.*greater than or equal to 0"),
        ({"categories": ("a", "a"), "counts": (0,) * 5}, "age: a category is listed twice"),
        ({"edges": tuple(map(float, range(100))), "counts": (0,) * 104}, "age: 101 bins, at most 100"),
    ],
)
def test_a_reference_that_cannot_be_compared_with_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FeatureReference(name="age", **given)


def test_the_dimension_of_an_embedding_is_stated_and_changes_no_other_document() -> None:
    assert "dimension" not in Output(task=Task.REGRESSION).model_dump(mode="json")
    assert Output(task=Task.EMBEDDING, dimension=3).model_dump(mode="json")["dimension"] == 3
    with pytest.raises(ValidationError, match="the output embedding needs"):
        Output(task=Task.EMBEDDING)
    with pytest.raises(ValidationError, match="the output text has no"):
        Output(task=Task.TEXT, dimension=3)
