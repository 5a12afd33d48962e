"""Models that learn one labelled row at a time (River), and their immutable form for serving.

A row is a dict of column numbers to floats: the columns of `Encoding.matrix`, without missing values.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.signature import Task
from modelyard_flavours import Encoding, FittedOnline

Kind = Literal["forest", "linear"]
Row = dict[int, float]
FloatArray = NDArray[np.float64]

TREES: Final = 10
TREE_BYTES_MIB: Final = 8.0
"""Memory of one tree, at which River stops its least promising leaves; a forest has up to two trees per place."""
MEMORY_CHECK_ROWS: Final = 20_000
"""Weight of rows between two estimates of a tree's memory."""
STEP: Final = 0.01
"""Learning rate of stochastic gradient descent on standardised columns."""
MAX_STEP: Final = 10.0
"""Bound of one gradient: a single absurd row must not throw the weights away."""

NEVER_SEEN: Final = -700.0
"""Raw output of a class without rows: its probability is 0 beside the others, as River answers."""


class RowLearner(Protocol):
    """A model that learns in order; `tensors` is its present state as arrays (modelyard_flavours.FittedOnline)."""

    def learn(self, row: Row, target: Any) -> None:
        """Learn from one row. target: a class number, or a value."""

    def river(self, row: Row) -> Any:
        """River's own answer: class number to probability, or a value."""

    def tensors(self) -> dict[str, Any]: ...


def learner_of(kind: Kind, task: Task, encoding: Encoding, *, seed: int = 0) -> RowLearner:
    """Return a new learner for a task."""
    if kind == "linear":
        return Linear(task, encoding)
    return Forest(encoding, seed=seed)


class Linear:
    """Logistic, softmax or linear regression by stochastic gradient descent over running means and deviations."""

    def __init__(self, task: Task, encoding: Encoding) -> None:
        from river import linear_model, optim, preprocessing, stats

        self._task, self._encoding = task, encoding
        self._scaler: Any = preprocessing.StandardScaler()
        self._target: Any = stats.Var() if task is Task.REGRESSION else None
        self._intercept = encoding.width  # the number of a column that is always 1: a softmax has no intercept
        if task is Task.MULTICLASS:
            self._model: Any = linear_model.SoftmaxRegression(optimizer=optim.SGD(STEP))
        elif task is Task.REGRESSION:
            self._model = linear_model.LinearRegression(
                optimizer=optim.SGD(STEP), intercept_lr=0.0, clip_gradient=MAX_STEP
            )
        else:
            self._model = linear_model.LogisticRegression(
                optimizer=optim.SGD(STEP), intercept_lr=0.0, clip_gradient=MAX_STEP
            )

    def learn(self, row: Row, target: Any) -> None:
        self._scaler.learn_one(row)
        if self._target is not None:
            self._target.update(target)
            deviation = self._deviation()
            target = (target - self._target.mean.get()) / deviation
            target = min(max(target, -MAX_STEP), MAX_STEP)
        self._model.learn_one({**self._scaler.transform_one(row), self._intercept: 1.0}, target)

    def river(self, row: Row) -> Any:
        """River's own answer: class number to probability, or a value."""
        columns = {**self._scaler.transform_one(row), self._intercept: 1.0}
        if self._target is not None:
            return self._model.predict_one(columns) * self._deviation() + self._target.mean.get()
        return self._model.predict_proba_one(columns) if self._task is Task.MULTICLASS else self._binary(columns)

    def _binary(self, columns: Row) -> dict[int, float]:
        found = self._model.predict_proba_one(columns)
        return {number: found[bool(number)] for number in range(2)}

    def _deviation(self) -> float:
        return float(self._target.get() ** 0.5) if self._target is not None and self._target.get() > 0 else 1.0

    def tensors(self) -> dict[str, Any]:
        columns = range(self._encoding.width)
        variances = np.array([self._scaler.vars.get(column, 0.0) for column in columns], dtype=np.float64)
        weight, bias = self._weights()
        # River divides by the deviation, and answers 0 for a column without one
        constant = variances <= 0
        if self._target is not None:
            deviation, mean = self._deviation(), float(self._target.mean.get())
            weight, bias = weight * deviation, bias * deviation + mean
        return {
            "mean": np.array([self._scaler.means.get(column, 0.0) for column in columns], dtype=np.float64),
            "scale": np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variances))),
            "weight": np.where(constant, 0.0, weight),
            "bias": bias,
        }

    def _weights(self) -> tuple[FloatArray, FloatArray]:
        outputs = len(self._encoding.classes) if self._task is Task.MULTICLASS else 1
        table = np.zeros((outputs, self._encoding.width + 1))
        for output in range(outputs):
            weights = self._model.weights.get(output, {}) if self._task is Task.MULTICLASS else self._model.weights
            for column, value in weights.items():
                table[output, column] = value
        if self._task is Task.MULTICLASS and self._model.weights:
            table[[output not in self._model.weights for output in range(outputs)], -1] = NEVER_SEEN
        return table[:, :-1], table[:, -1]


class Forest:
    """Adaptive random forest (Gomes et al. 2017) whose leaves answer with the classes, or the mean, of their rows."""

    def __init__(self, encoding: Encoding, *, seed: int = 0) -> None:
        from river.forest import ARFClassifier, ARFRegressor

        self._encoding = encoding
        limits: dict[str, Any] = {
            "n_models": TREES,
            "seed": seed,
            "max_size": TREE_BYTES_MIB,
            "memory_estimate_period": MEMORY_CHECK_ROWS,
        }
        self._model: Any = (
            ARFClassifier(leaf_prediction="mc", **limits)
            if encoding.classes
            else ARFRegressor(leaf_prediction="mean", aggregation_method="mean", **limits)
        )

    def learn(self, row: Row, target: Any) -> None:
        self._model.learn_one(row, target)

    def river(self, row: Row) -> Any:
        """River's own answer: class number to probability, or a value."""
        return self._model.predict_proba_one(row) if self._encoding.classes else self._model.predict_one(row)

    def tensors(self) -> dict[str, Any]:
        trees = [list(self._nodes(tree)) for tree in self._model.data] or [[(-1, -1, 0, 0.0, self._empty())]]
        nodes = [node for tree in trees for node in tree]
        left, right, feature, threshold, value = zip(*nodes, strict=True)
        return {
            "sizes": np.array([len(tree) for tree in trees]),
            "left": np.array(left),
            "right": np.array(right),
            "feature": np.array(feature),
            "threshold": np.array(threshold, dtype=np.float64),
            "value": np.array(value, dtype=np.float64),
            "votes": np.array(self._votes() or [1.0]),
        }

    def _votes(self) -> list[float]:
        """River weighs the trees of a classifier by their accuracy, unless it is 0."""
        if not self._encoding.classes:
            return [1.0] * len(self._model.data)
        accuracies = [metric.get() for metric in self._model._metrics]
        return [accuracy if accuracy > 0 else 1.0 for accuracy in accuracies][: len(self._model.data)]

    def _nodes(self, tree: Any) -> Iterator[tuple[int, int, int, float, list[float]]]:
        """Nodes in preorder: left, right, feature, threshold, value."""
        root = tree._root
        if root is None:
            yield -1, -1, 0, 0.0, self._empty()
            return
        order, places = _preorder(root)
        for node in order:
            if hasattr(node, "children"):
                left, right = (places[id(child)] for child in node.children)
                yield left, right, int(node.feature), float(node.threshold), self._empty()
            else:
                yield -1, -1, 0, 0.0, self._leaf(node.stats)

    def _empty(self) -> list[float]:
        return [0.0] * (len(self._encoding.classes) or 1)

    def _leaf(self, stats: Any) -> list[float]:
        if not self._encoding.classes:
            return [float(stats.mean.get())]
        total = sum(stats.values())
        shares = self._empty()
        for number, weight in stats.items():
            shares[number] = weight / total if total else 0.0
        return shares


def _preorder(root: Any) -> tuple[list[Any], dict[int, int]]:
    order, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting.extend(reversed(getattr(node, "children", ())))
    return order, {id(node): place for place, node in enumerate(order)}


def snapshot_of(learner: RowLearner, encoding: Encoding, filler: FloatArray) -> FittedOnline:
    """The learner's present state as arrays that no later row changes."""
    return FittedOnline(encoding, {**learner.tensors(), "filler": filler})
