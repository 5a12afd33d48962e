"""Flavour `online`: a snapshot of a model that learns row by row, as plain arrays and JSON. Never a pickle.

Loading and prediction need numpy and safetensors only. A linear model has the tensors LINEAR, a forest those of FOREST.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from modelyard_flavours.encoding import Encoding
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.scores import to_scores
from modelyard_flavours.stored import environment as environment  # part of every flavour
from modelyard_flavours.stored import read_document, read_tensors
from modelyard_flavours.trees import MalformedTree, Trees

NAME: Final = "online"
MODEL: Final = "model.safetensors"
ENCODING: Final = "encoding.json"
FILES: Final = (MODEL, ENCODING)
FLOATS: Final = ("filler", "mean", "scale", "weight", "bias", "threshold", "value", "votes")
LINEAR: Final = frozenset({"filler", "mean", "scale", "weight", "bias"})
FOREST: Final = frozenset({"filler", "sizes", "left", "right", "feature", "threshold", "value", "votes"})
MAX_NODES: Final = 2_000_000
"""Nodes of all trees of a forest."""
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FittedOnline:
    """Argument of save_model.

    encoding: columns of the matrix, and the classes. tensors: `filler` of shape (width,) replaces missing values.
    Linear: mean and scale of shape (width,), weight (outputs, width), bias (outputs,); one output is the log-odds of
    the last of two classes or the value of a regression, more are the raw outputs of a softmax. Forest: sizes (trees,)
    are numbers of nodes; left, right, feature and threshold have the shape (nodes,), the root first, children after
    their parents, left -1 for a leaf; a value up to the threshold goes left; value (nodes, classes or 1) and
    votes (trees,): weight of each tree.
    """

    encoding: Encoding
    tensors: Tensors


class OnlinePredictor:
    """A loaded snapshot."""

    def __init__(self, tensors: Tensors, encoding: Encoding) -> None:
        _check_tensors(tensors, encoding)
        self._encoding, self._filler = encoding, tensors["filler"]
        self._answer = _Linear(tensors, encoding) if "mean" in tensors else _Forest(tensors, encoding)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._encoding.classes

    @property
    def shape(self) -> tuple[int, int]:
        return self._encoding.shape

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        matrix = self._encoding.matrix(numeric, categorical)
        return self._answer(np.where(np.isnan(matrix), self._filler, matrix))


class _Linear:
    def __init__(self, tensors: Tensors, encoding: Encoding) -> None:
        self._mean, self._scale = tensors["mean"], tensors["scale"]
        self._weight, self._bias = np.ascontiguousarray(tensors["weight"].T), tensors["bias"]
        self._classifies = bool(encoding.classes)

    def __call__(self, matrix: FloatArray) -> FloatArray:
        raw: FloatArray = ((matrix - self._mean) / self._scale) @ self._weight + self._bias
        return to_scores(raw) if self._classifies else raw


class _Forest:
    def __init__(self, tensors: Tensors, encoding: Encoding) -> None:
        self._trees, self._votes = _trees(tensors, encoding), tensors["votes"]
        self._classes = len(encoding.classes)

    def __call__(self, matrix: FloatArray) -> FloatArray:
        summed: FloatArray = np.einsum("rto,t->ro", self._trees.leaves(matrix), self._votes)
        if not self._classes:
            summed /= self._votes.sum()
            return summed
        total = summed.sum(axis=1, keepdims=True)
        seen = total > 0  # leaves that no row has reached have no classes
        return np.where(seen, summed / np.where(seen, total, 1.0), 1.0 / self._classes)


def _trees(tensors: Tensors, encoding: Encoding) -> Trees:
    trees, start = Trees(encoding.width, tensors["value"].shape[1]), 0
    for size in tensors["sizes"].tolist():
        nodes = slice(start, start + size)
        left = tensors["left"][nodes]
        trees.add(
            left=left,
            right=tensors["right"][nodes],
            leaf=left < 0,
            feature=tensors["feature"][nodes],
            threshold=tensors["threshold"][nodes],
            missing_left=np.zeros(size, dtype=bool),
            value=tensors["value"][nodes],
        )
        start += size
    return trees.freeze()


def predictor(fitted: object) -> OnlinePredictor:
    """The predictor of a snapshot; Inadmissible if its tensors do not fit."""
    if not isinstance(fitted, FittedOnline):
        raise TypeError(f"flavour {NAME!r} takes FittedOnline, not {type(fitted).__name__}")
    return _built(_typed(fitted.tensors), fitted.encoding)


def save(fitted: object, folder: Path) -> None:
    """Write the flavour's files; Inadmissible if they could not be loaded again."""
    if not isinstance(fitted, FittedOnline):
        raise TypeError(f"flavour {NAME!r} saves FittedOnline, not {type(fitted).__name__}")
    tensors = {name: np.ascontiguousarray(value) for name, value in _typed(fitted.tensors).items()}
    files = {MODEL: safetensors.numpy.save(tensors), ENCODING: fitted.encoding.model_dump_json().encode()}
    load(files)
    for path, data in files.items():
        (folder / path).write_bytes(data)


def check(files: Mapping[str, bytes]) -> None:
    """Inadmissible if the files do not make a snapshot; they hold numbers and strings only."""
    load(files)


def load(files: Mapping[str, bytes]) -> OnlinePredictor:
    """Build the predictor."""
    encoding = read_document(Encoding, ENCODING, files[ENCODING])
    return _built(read_tensors(MODEL, files[MODEL]), encoding)


def _built(tensors: Tensors, encoding: Encoding) -> OnlinePredictor:
    try:
        return OnlinePredictor(tensors, encoding)
    except MalformedTree as error:
        raise Inadmissible(MODEL, str(error)) from error


def _typed(tensors: Tensors) -> dict[str, NDArray[Any]]:
    return {
        name: np.asarray(value, dtype=np.float64 if name in FLOATS else np.int64) for name, value in tensors.items()
    }


def _check_tensors(tensors: Tensors, encoding: Encoding) -> None:
    if set(tensors) not in (LINEAR, FOREST):
        raise Inadmissible(MODEL, f"has the tensors {sorted(tensors)}; needs {sorted(LINEAR)} or {sorted(FOREST)}")
    for name, shape in _shapes(tensors, encoding).items():
        tensor, kind = tensors[name], np.float64 if name in FLOATS else np.int64
        if tensor.shape != shape or tensor.dtype != kind or not np.isfinite(tensor).all():
            raise Inadmissible(MODEL, f"{name} is not {shape} finite numbers of the type {np.dtype(kind)}")
    if "mean" in tensors and not (tensors["scale"] > 0).all():
        raise Inadmissible(MODEL, "scale has a number that is not positive")
    if "votes" in tensors and not (tensors["votes"] > 0).all():
        raise Inadmissible(MODEL, "votes has a number that is not positive")


def _shapes(tensors: Tensors, encoding: Encoding) -> dict[str, tuple[int, ...]]:
    width, classes = encoding.width, len(encoding.classes)
    outputs = classes or 1
    if "mean" in tensors:
        outputs = 1 if classes == 2 else outputs
        columns = dict.fromkeys(("filler", "mean", "scale"), (width,))
        return {**columns, "weight": (outputs, width), "bias": (outputs,)}
    sizes = tensors["sizes"]
    if sizes.ndim != 1 or not len(sizes) or (sizes < 1).any() or len(sizes) > MAX_NODES or sizes.max() > MAX_NODES:
        raise Inadmissible(MODEL, "sizes is not the number of nodes per tree")
    nodes = int(sizes.sum())
    if nodes > MAX_NODES:
        raise Inadmissible(MODEL, f"has {nodes} nodes; at most {MAX_NODES} are served")
    per_node = dict.fromkeys(("left", "right", "feature", "threshold"), (nodes,))
    return {"filler": (width,), "sizes": sizes.shape, **per_node, "value": (nodes, outputs), "votes": sizes.shape}
