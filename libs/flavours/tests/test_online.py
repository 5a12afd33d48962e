"""Snapshots of online learners: saved, loaded, and refused when a file does not hold what it should."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from modelyard_flavours import Encoding, FittedOnline, Inadmissible, check_admissible, load_model, save_model

from .conftest import CLASSES, manifest_of

ENCODING = Encoding(numeric=2, categories=(("a", "b"),), classes=CLASSES)
KIND = np.array([["a"], ["b"], ["unseen"], [None]], dtype=object)
NUMBERS = np.array([[1.0, 2.0], [np.nan, 3.0], [0.0, np.inf], [1e300, -1.0]])


def linear(**changed: Any) -> FittedOnline:
    tensors = {
        "filler": np.array([0.5, 0.0, 0.0, 0.0]),
        "mean": np.zeros(4),
        "scale": np.ones(4),
        "weight": np.arange(12.0).reshape(3, 4) / 10,
        "bias": np.array([0.0, 0.1, 0.2]),
    }
    return FittedOnline(ENCODING, {**tensors, **changed})


def forest(**changed: Any) -> FittedOnline:
    """Two trees: one splits the first column at 0.7, the other is a leaf; the second counts twice."""
    tensors = {
        "filler": np.array([0.5, 0.0, 0.0, 0.0]),
        "sizes": np.array([3, 1]),
        "left": np.array([1, -1, -1, -1]),
        "right": np.array([2, -1, -1, -1]),
        "feature": np.array([0, 0, 0, 0]),
        "threshold": np.array([0.7, 0.0, 0.0, 0.0]),
        "value": np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        "votes": np.array([1.0, 2.0]),
    }
    return FittedOnline(ENCODING, {**tensors, **changed})


def test_a_loaded_forest_answers_by_its_trees_and_votes(tmp_path: Path) -> None:
    save_model("online", forest(), tmp_path)
    check_admissible(manifest_of(tmp_path, "online"), tmp_path)
    scores = load_model(manifest_of(tmp_path, "online"), tmp_path).predict(NUMBERS, KIND)
    third = 1 / 3
    expected = [[0, third, 2 * third], [third, 0, 2 * third], [third, 0, 2 * third], [third, 0, 2 * third]]
    np.testing.assert_allclose(scores, expected)


def test_a_loaded_linear_model_answers_by_its_weights(tmp_path: Path) -> None:
    save_model("online", linear(), tmp_path)
    scores = load_model(manifest_of(tmp_path, "online"), tmp_path).predict(NUMBERS[:2], KIND[:2])
    matrix = np.array([[1.0, 2.0, 1.0, 0.0], [0.5, 3.0, 0.0, 1.0]])
    raw = matrix @ (np.arange(12.0).reshape(3, 4) / 10).T + [0.0, 0.1, 0.2]
    np.testing.assert_allclose(scores, np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True))


def test_leaves_without_rows_answer_every_class_alike(tmp_path: Path) -> None:
    save_model("online", forest(value=np.zeros((4, 3))), tmp_path)
    scores = load_model(manifest_of(tmp_path, "online"), tmp_path).predict(NUMBERS, KIND)
    np.testing.assert_allclose(scores, 1 / 3)


@pytest.mark.parametrize(
    "fitted",
    [
        linear(scale=np.array([1.0, 0.0, 1.0, 1.0])),
        linear(mean=np.zeros(5)),
        linear(weight=np.full((3, 4), np.nan)),
        linear(votes=np.ones(2)),
        forest(left=np.array([7, -1, -1, -1])),
        forest(left=np.array([0, -1, -1, -1])),
        forest(feature=np.array([4, 0, 0, 0])),
        forest(sizes=np.array([3, 2])),
        forest(sizes=np.array([4, 0])),
        forest(sizes=np.array([2**62, 2**62])),
        forest(votes=np.array([0.0, 1.0])),
        forest(value=np.zeros((4, 2))),
    ],
    ids=range(12),
)
def test_a_snapshot_that_cannot_be_walked_is_refused(tmp_path: Path, fitted: FittedOnline) -> None:
    with pytest.raises(Inadmissible):
        save_model("online", fitted, tmp_path)


def test_a_file_of_another_number_type_is_refused(tmp_path: Path) -> None:
    save_model("online", forest(), tmp_path)
    tensors = safetensors.numpy.load((tmp_path / "model.safetensors").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(
        safetensors.numpy.save({**tensors, "left": tensors["left"].astype(np.float64)})
    )
    with pytest.raises(Inadmissible, match="left"):
        load_model(manifest_of(tmp_path, "online"), tmp_path)
