"""The candidates of `tabular-classifier`, and what is done with one: in a Ray task, so everything here is picklable."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_flavours import Encoding, FittedSklearn, save_model, without_unneeded
from modelyard_flavours.compiled import compile_estimator
from modelyard_trainer.domain.recipes import TabularParameters
from modelyard_trainer.recipes.metrics import figures
from modelyard_trainer.worker.work import FloatArray, Rows, SavedFiles

RECENT_SHARE: Final = 0.5
TIMED_ROWS: Final = 50


@dataclass(frozen=True)
class Tried:
    """One candidate on the validation rows."""

    name: str
    scores: FloatArray
    figures: dict[str, float]
    fit_s: float
    row_ms: float
    """Median time for one row, the way it will be served."""

    def value(self, parameters: TabularParameters) -> float:
        """What the choice is made by."""
        return self.figures[parameters.metric] - parameters.latency_penalty_per_ms * self.row_ms


def build(name: str, parameters: TabularParameters) -> Any:
    """An unfitted estimator of those that the flavour `sklearn` serves."""
    with without_unneeded("sklearn"):
        from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

    if name == "logistic":
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        return make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=300))
    if name == "extra-trees":
        return ExtraTreesClassifier(40, max_depth=12, min_samples_leaf=3, random_state=parameters.seed)
    return HistGradientBoostingClassifier(
        max_iter=parameters.max_iterations, max_leaf_nodes=15, early_stopping=False, random_state=parameters.seed
    )


def newest(name: str, rows: Rows) -> Rows:
    """The rows that a candidate learns from: some look at the newer half only, the world may have changed."""
    if not name.endswith("-recent"):
        return rows
    recent = rows.part(int(len(rows) * (1 - RECENT_SHARE)), len(rows))
    return recent if len(np.unique(recent.labels)) == len(np.unique(rows.labels)) else rows


def fit(name: str, parameters: TabularParameters, rows: Rows, encoding: Encoding) -> Any:
    """The fitted estimator."""
    learned = newest(name, rows)
    return build(name, parameters).fit(encoding.matrix(learned.numeric, learned.categorical), learned.labels)


def fit_and_save(name: str, parameters: TabularParameters, rows: Rows, encoding: Encoding) -> SavedFiles:
    """The winner as the flavour's files: made where scikit-learn is loaded, so that the driver need not load it."""
    with tempfile.TemporaryDirectory() as folder:
        entries = save_model("sklearn", FittedSklearn(fit(name, parameters, rows, encoding), encoding), Path(folder))
        return SavedFiles(entries, tuple((Path(folder) / entry.path).read_bytes() for entry in entries))


def attempt(name: str, parameters: TabularParameters, train: Rows, validation: Rows, encoding: Encoding) -> Tried:
    """Fit on the one, judge on the other, by the code that will serve it."""
    began = time.perf_counter()
    estimator = fit(name, parameters, train, encoding)
    fit_s = time.perf_counter() - began
    function = compile_estimator(estimator, encoding.width)
    matrix = encoding.matrix(validation.numeric, validation.categorical)
    scores = spread(function(matrix), estimator.classes_, len(encoding.classes))
    return Tried(name, scores, figures(validation.labels, scores), fit_s, _row_ms(function, matrix))


def spread(scores: FloatArray, known: NDArray[np.int64], classes: int) -> FloatArray:
    """A column for every class; zeros for those that training never saw."""
    every = np.zeros((len(scores), classes))
    every[:, known] = scores
    return every


def _row_ms(function: Any, matrix: FloatArray) -> float:
    times = []
    for place in range(min(TIMED_ROWS, len(matrix))):
        began = time.perf_counter()
        function(matrix[place : place + 1])
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1_000
