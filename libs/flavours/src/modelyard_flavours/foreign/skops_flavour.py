"""Flavour `skops`: a scikit-learn pipeline from elsewhere, saved with `skops.io.dump`.

An estimator that was fitted on a frame with named columns gets such a frame (missing is NaN, categories are texts), one
that was fitted on a matrix gets a matrix in the order of the signature, and a version with the input `text` gets a list
of texts. A category that the pipeline does not know is its own affair: use `handle_unknown="ignore"`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_contracts.signature import Task
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign.columns import Columns
from modelyard_flavours.foreign.outputs import LABELS, PROBABILITIES, Outputs, class_order
from modelyard_flavours.foreign.skops_types import trusted_nodes
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.skops_check import check_skops
from modelyard_flavours.version import Version, imported, versions_of

NAME: Final = "skops"
SUFFIXES: Final = frozenset({".skops"})
OPTIONS: Final[Mapping[str, str]] = {
    MODEL_OPTION: "path of the pipeline, if several files could be it",
    "scores": "probabilities (default, if the estimator has predict_proba) or labels",
}
Feed = Callable[[FloatArray, ObjectArray], Any]


class SkopsPredictor:
    """A loaded pipeline."""

    def __init__(self, estimator: Any, version: Version) -> None:
        self.classes = version.signature.classes
        columns = Columns(version.signature)
        self.shape = columns.shape
        self._feed = _feed(estimator, columns, version)
        scores = self._scores(estimator, version)
        self._outputs = Outputs(version.signature, scores)
        self._call = estimator.predict_proba if self.classes and scores == PROBABILITIES else estimator.predict
        known = getattr(estimator, "classes_", None)
        self._order = class_order(list(known), version.signature, "classes_") if known is not None else None

    @staticmethod
    def _scores(estimator: Any, version: Version) -> str:
        has = hasattr(estimator, "predict_proba")
        return version.option("scores", PROBABILITIES if has else LABELS, (PROBABILITIES, LABELS) if has else (LABELS,))

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        if not len(numeric):  # scikit-learn refuses no rows
            return self._outputs.empty()
        raw = np.asarray(self._call(self._feed(numeric, categorical)))
        return self._outputs.of(raw[:, self._order] if self._order is not None and raw.ndim == 2 else raw)


def check(version: Version) -> None:
    """Inadmissible if a type is not on the list; builds nothing, needs neither scikit-learn nor skops."""
    version.require_options(OPTIONS)
    file = version.model_file(SUFFIXES)
    check_skops(file.name, file.read_bytes(), trusted_nodes())


def load(version: Version) -> SkopsPredictor:
    """Check the file and build the predictor."""
    file = version.model_file(SUFFIXES)
    library = imported(NAME, "skops.io")
    check(version)
    estimator = library.load(file, trusted=sorted({name for _, name in trusted_nodes()}))
    if not hasattr(estimator, "predict"):
        raise Inadmissible(file.name, f"holds {type(estimator).__name__}, which does not predict")
    if (version.signature.task is Task.REGRESSION) is hasattr(estimator, "classes_"):
        raise Inadmissible(
            file.name, f"holds {type(estimator).__name__}, which does not fit the task {version.signature.task}"
        )
    _use_one_thread(estimator)
    return SkopsPredictor(estimator, version)


def _use_one_thread(estimator: Any) -> None:
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    estimator.set_params(**{name: None for name in parameters if name.rpartition("__")[2] == "n_jobs"})


def _feed(estimator: Any, columns: Columns, version: Version) -> Feed:
    """From arrays to what the estimator was fitted on."""
    if version.signature.input == "text":
        return lambda numeric, categorical: ["" if text is None else text for text in categorical[:, 0]]
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return _frame(columns, columns.order(tuple(map(str, names)), "feature_names_in_"))
    width = getattr(estimator, "n_features_in_", len(columns.names))
    if width != len(columns.names):
        raise Inadmissible("n_features_in_", f"is {width}; the signature has {len(columns.names)} columns")
    return _objects(columns) if columns.texts else columns.matrix


def _frame(columns: Columns, order: tuple[int, ...]) -> Feed:
    pandas = imported(NAME, "pandas")

    def frame(numeric: FloatArray, categorical: ObjectArray) -> Any:
        data = {columns.names[place]: _values(columns, place, numeric, categorical) for place in order}
        return pandas.DataFrame(data, copy=False)

    return frame


def _objects(columns: Columns) -> Feed:
    """A matrix of objects, for pipelines that choose their columns by place."""

    def matrix(numeric: FloatArray, categorical: ObjectArray) -> ObjectArray:
        values = [_values(columns, place, numeric, categorical) for place in range(len(columns.names))]
        return np.array(values, dtype=object).T

    return matrix


def _values(columns: Columns, place: int, numeric: FloatArray, categorical: ObjectArray) -> Any:
    """A column; a missing text is NaN, as pandas reads it."""
    values = columns.column(place, numeric, categorical)
    return np.where(values == None, np.nan, values) if columns.is_text(place) else values  # noqa: E711  by element


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return versions_of("numpy", "scikit-learn", "skops", "pandas")
