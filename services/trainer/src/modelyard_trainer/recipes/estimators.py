"""Candidates of the tabular recipes. They are fitted in Ray, so everything here is picklable."""

from dataclasses import dataclass
from inspect import signature as arguments_of
from typing import Any, Final

import numpy as np

from modelyard_contracts.signature import ColumnType, Signature, Task
from modelyard_flavours import Encoding, FittedSklearn, without_unneeded
from modelyard_trainer.worker.work import FloatArray, Rows

RECENT_SHARE: Final = 0.5


@dataclass(frozen=True)
class Fitted:
    """A fitted model as modelyard_flavours.save_model takes it."""

    flavour: str
    model: object


def fit_tabular(name: str, parameters: Any, rows: Rows, signature: Signature) -> Fitted:
    """Fit one candidate. parameters: TabularParameters or RegressorParameters."""
    rows = newest(name, rows, signature.task)
    is_text = {column.name: column.type is ColumnType.TEXT for column in signature.columns}
    texts = tuple(is_text[name] for name in signature.categorical)
    encoding = Encoding.learn(rows.numeric, rows.categorical, signature.classes, texts=texts)
    build = _regressor if signature.task is Task.REGRESSION else _classifier
    estimator = build(name, parameters)
    matrix = encoding.matrix(rows.numeric, rows.categorical)
    if name.startswith("boosting"):
        matrix = _with_values(matrix)
    return Fitted(
        "sklearn", FittedSklearn(estimator.fit(matrix, rows.targets, **weight_arguments(estimator, rows)), encoding)
    )


def _with_values(matrix: FloatArray) -> FloatArray:
    """Zeros in columns without any value: histograms of none cannot be made, and no tree splits by a constant."""
    empty = np.isnan(matrix).all(axis=0)
    return np.where(empty, 0.0, matrix) if empty.any() else matrix


def weight_arguments(estimator: Any, rows: Rows) -> dict[str, FloatArray]:
    """Arguments of `fit` for rows with weights; of a pipeline, the last step takes them. ValueError if it does not."""
    if rows.weights is None:
        return {}
    steps = getattr(estimator, "steps", [("", estimator)])
    name, last = steps[-1]
    if "sample_weight" not in arguments_of(last.fit).parameters:
        raise ValueError(f"{type(last).__name__} takes no weights of rows")
    return {f"{name}__sample_weight" if name else "sample_weight": rows.weights}


def newest(name: str, rows: Rows, task: Task) -> Rows:
    """Rows for fitting: a `-recent` candidate uses the newer half, unless a class is missing there."""
    if not name.endswith("-recent"):
        return rows
    recent = rows.part(int(len(rows) * (1 - RECENT_SHARE)), len(rows))
    complete = task is Task.REGRESSION or len(np.unique(recent.targets)) == len(np.unique(rows.targets))
    return recent if complete else rows


def _classifier(name: str, parameters: Any) -> Any:
    with without_unneeded("sklearn"):
        from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression

    if name == "logistic":
        return _scaled(LogisticRegression(max_iter=300))
    if name == "extra-trees":
        return ExtraTreesClassifier(40, max_depth=12, min_samples_leaf=3, random_state=parameters.seed)
    return HistGradientBoostingClassifier(**_boosting(parameters))


def _regressor(name: str, parameters: Any) -> Any:
    with without_unneeded("sklearn"):
        from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
        from sklearn.linear_model import Ridge

    if name == "linear":
        return _scaled(Ridge())
    if name == "extra-trees":
        return ExtraTreesRegressor(40, max_depth=12, min_samples_leaf=3, random_state=parameters.seed)
    return HistGradientBoostingRegressor(**_boosting(parameters))


def _boosting(parameters: Any) -> dict[str, Any]:
    fixed = {"max_leaf_nodes": 15, "early_stopping": False}
    return {**fixed, "max_iter": parameters.max_iterations, "random_state": parameters.seed}


def _scaled(estimator: Any) -> Any:
    with without_unneeded("sklearn"):
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), estimator)
