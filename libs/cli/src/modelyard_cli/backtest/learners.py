"""The rows of a stream as learners read them, and the learner that a scheduled retraining fits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.demo.data import Stream
from modelyard_flavours import Encoding, without_unneeded

VALIDATION_SHARE: Final = 6
"""Candidates are chosen by the newest sixth of the rows, of at least MIN_VALIDATION_ROWS."""
MIN_VALIDATION_ROWS: Final = 100

Outputs = NDArray[Any]
Predict = Callable[[int, int], Outputs]
"""(start, stop) -> one output per row of [start, stop): a class, or a value."""


@dataclass(frozen=True)
class Rows:
    """A stream as a matrix; columns of categories are those that are common in the first `first` rows."""

    stream: Stream
    first: int

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Shape (rows, columns); missing numbers are the median of the first rows."""
        stream, first = self.stream, self.first
        encoding = Encoding.learn(stream.numbers[:first], stream.words[:first], stream.classes)
        found = encoding.matrix(stream.numbers, stream.words)
        known = found[:first]
        filler = [float(np.median(c[~np.isnan(c)])) if (~np.isnan(c)).any() else 0.0 for c in known.T]
        return np.where(np.isnan(found), filler, found)

    @cached_property
    def targets(self) -> NDArray[Any]:
        """Shape (rows,): places in `classes`, or values."""
        if not self.stream.classes:
            return self.stream.labels.astype(np.float64)
        places = {name: place for place, name in enumerate(self.stream.classes)}
        return np.array([places[label] for label in self.stream.labels])

    def outputs(self, found: NDArray[Any]) -> Outputs:
        """Predicted places or values as a caller gets them."""
        if not self.stream.classes:
            return np.asarray(found, dtype=object)
        return np.asarray(np.array(self.stream.classes, dtype=object)[found.astype(int)])


Make = Callable[[Rows, int], Any]
"""(rows, seed) -> an estimator that is not fitted."""


Places = NDArray[np.int64]
"""Rows of the stream by number, rising."""


def fit(rows: Rows, places: Places, seed: int) -> Predict | None:
    """Choose a linear model, boosting, or boosting on the newer half, and fit the best one again on the given rows.

    None when the rows are too few, or all of one class.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # more threads wait for one another on small windows, and disturb what runs beside
        return _fit(rows, places, seed)


def _fit(rows: Rows, places: Places, seed: int) -> Predict | None:
    cut = len(places) - max(MIN_VALIDATION_ROWS, len(places) // VALIDATION_SHARE)
    if cut <= 0 or not _learnable(rows, places):
        return None
    candidates: list[tuple[Make, int]] = [(_linear, 0), (_boosting, 0), (_boosting, len(places) // 2)]
    tried: list[tuple[float, int, Make, int]] = []
    for make, begin in candidates:
        older = places[begin:cut]
        if _learnable(rows, older):
            model = make(rows, seed).fit(rows.matrix[older], rows.targets[older])
            tried.append((_value(model, rows, places[cut:]), len(tried), make, begin))
    _, _, make, begin = max(tried, default=(0.0, 0, *candidates[0]), key=lambda one: (one[0], -one[1]))
    model = make(rows, seed).fit(rows.matrix[places[begin:]], rows.targets[places[begin:]])
    return lambda low, high: rows.outputs(model.predict(rows.matrix[low:high]))


def _learnable(rows: Rows, places: Places) -> bool:
    return bool(len(places)) and (not rows.stream.classes or len(np.unique(rows.targets[places])) > 1)


def _value(model: Any, rows: Rows, places: Places) -> float:
    """Accuracy, or the negative mean absolute error."""
    found, true = model.predict(rows.matrix[places]), rows.targets[places]
    return float(np.mean(found == true)) if rows.stream.classes else -float(np.mean(np.abs(found - true)))


def _linear(rows: Rows, seed: int) -> Any:
    with without_unneeded("sklearn"):
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

    last = LogisticRegression(max_iter=300, random_state=seed) if rows.stream.classes else Ridge()
    return make_pipeline(StandardScaler(), last)


def _boosting(rows: Rows, seed: int) -> Any:
    with without_unneeded("sklearn"):
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if rows.stream.classes else HistGradientBoostingRegressor
    return kind(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=seed)
