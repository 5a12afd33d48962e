"""Trees as flat arrays: checked once, then walked together in numpy.

scikit-learn walks each tree in unchecked C (a crafted file can crash the process), after some hundred microseconds of
Python per call; one row through fifty trees takes about a tenth of that here.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_flavours.predictor import FloatArray

_CHUNK_ROWS: Final = 256
"""Rows walked at once: bounds the memory at rows x trees."""


class MalformedTree(ValueError):
    """A tree refers to a node or a feature that does not exist."""


class Trees:
    """Flat trees over a matrix of `width` columns; a leaf is its own child."""

    def __init__(self, width: int, outputs: int) -> None:
        self._width, self._outputs = width, outputs
        self._nodes: list[tuple[NDArray[Any], ...]] = []
        self._size = 0
        self._roots: list[int] = []
        self._depth = 0

    def add(
        self,
        *,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        leaf: NDArray[np.bool_],
        feature: NDArray[np.int64],
        threshold: FloatArray,
        missing_left: NDArray[np.bool_],
        value: FloatArray,
    ) -> None:
        """One tree of n nodes, root first, children after their parents; value: shape (n, outputs)."""
        own = np.arange(len(leaf))
        inner = ~leaf
        children = np.concatenate([left[inner], right[inner]])
        if len(leaf) == 0 or value.shape != (len(leaf), self._outputs):
            raise MalformedTree(f"values of the shape {value.shape} for {len(leaf)} nodes")
        if (children >= len(leaf)).any() or (children <= np.concatenate([own[inner]] * 2)).any():
            raise MalformedTree("a node's child does not come after it")
        if (feature[inner] < 0).any() or (feature[inner] >= self._width).any():
            raise MalformedTree(f"a node refers to a feature beyond the {self._width}")
        if not np.isfinite(value[leaf]).all():
            raise MalformedTree("a leaf's value is not finite")
        self._roots.append(self._size)
        goes = np.stack([np.where(leaf, own, left), np.where(leaf, own, right)], axis=1) + self._size
        self._nodes.append((goes, np.where(leaf, 0, feature), np.where(leaf, 0.0, threshold), missing_left, value))
        self._size += len(leaf)
        self._depth = max(self._depth, _depth(left, right, leaf))

    def freeze(self) -> "Trees":
        """Join the arrays; call it once, after the last `add`."""
        goes, feature, threshold, missing_left, value = (
            np.concatenate(parts) for parts in zip(*self._nodes, strict=True)
        )
        self._goes = np.ascontiguousarray(goes.reshape(-1), dtype=np.intp)
        self._feature = feature.astype(np.intp)
        self._threshold = threshold.astype(np.float64)
        self._missing_right = ~missing_left.astype(bool)
        self._value = value.astype(np.float64)
        self._start = np.asarray(self._roots, dtype=np.intp)
        return self

    def leaves(self, matrix: FloatArray) -> FloatArray:
        """Values of the leaves reached, shape (rows, trees, outputs)."""
        chunks = [self._walk(matrix[at : at + _CHUNK_ROWS]) for at in range(0, len(matrix), _CHUNK_ROWS)]
        return np.concatenate(chunks) if chunks else np.zeros((0, len(self._roots), self._outputs))

    def _walk(self, matrix: FloatArray) -> FloatArray:
        flat = np.ascontiguousarray(matrix).reshape(-1)
        rows = (np.arange(len(matrix), dtype=np.intp) * self._width)[:, None]
        holes = bool(np.isnan(flat).any())
        at = np.broadcast_to(self._start, (len(matrix), len(self._start)))
        for _ in range(self._depth):
            seen = flat[rows + self._feature[at]]
            goes_right = seen > self._threshold[at]
            if holes:
                goes_right = np.where(np.isnan(seen), self._missing_right[at], goes_right)
            at = self._goes[2 * at + goes_right]
        leaves: FloatArray = self._value[at]
        return leaves


def _depth(left: NDArray[np.int64], right: NDArray[np.int64], leaf: NDArray[np.bool_]) -> int:
    """Edges from the root to the farthest leaf; children come after their parents."""
    depth = np.zeros(len(leaf), dtype=np.int64)
    for node in np.flatnonzero(~leaf):
        depth[left[node]] = depth[right[node]] = depth[node] + 1
    return int(depth.max())


def forest(estimators: Sequence[Any], width: int, classes: int) -> Trees:
    """From fitted scikit-learn trees; each gives class probabilities or one value."""
    trees = Trees(width, classes)
    for estimator in estimators:
        tree = estimator.tree_
        trees.add(
            left=tree.children_left,
            right=tree.children_right,
            leaf=tree.children_left < 0,
            feature=tree.feature,
            threshold=tree.threshold,
            missing_left=np.asarray(tree.missing_go_to_left, dtype=bool),
            value=tree.value[:, 0, :] if tree.value.ndim == 3 else tree.value,
        )
    return trees.freeze()


def boosted(rounds: Sequence[Sequence[Any]], width: int) -> Trees:
    """From the predictors of histogram gradient boosting, one list of trees per round."""
    trees = Trees(width, 1)
    for predictor in (tree for one in rounds for tree in one):
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise MalformedTree("categorical splits are not served; give categories a column each")
        trees.add(
            left=nodes["left"].astype(np.int64),
            right=nodes["right"].astype(np.int64),
            leaf=nodes["is_leaf"].astype(bool),
            feature=nodes["feature_idx"].astype(np.int64),
            threshold=nodes["num_threshold"],
            missing_left=nodes["missing_go_to_left"].astype(bool),
            value=nodes["value"][:, None],
        )
    return trees.freeze()
