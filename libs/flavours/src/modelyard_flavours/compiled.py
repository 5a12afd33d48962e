"""A fitted scikit-learn estimator as a plain numpy function of the matrix.

Only the estimators listed here are served; any other one is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from modelyard_flavours.predictor import FloatArray
from modelyard_flavours.scores import to_scores
from modelyard_flavours.trees import MalformedTree, boosted, forest

Function = Callable[[FloatArray], FloatArray]


class NotServed(ValueError):
    """An estimator, or one of its settings, that this flavour does not serve."""


def compile_estimator(estimator: Any, width: int) -> Function:
    """Return a function from the matrix (rows, width) to scores (rows, classes) or values (rows, 1).

    NotServed or MalformedTree if the estimator cannot be served.
    """
    steps = [step for _, step in estimator.steps] if _name(estimator) == "Pipeline" else [estimator]
    before = [_transformer(step, width) for step in steps[:-1]]
    last = _estimator(steps[-1], width)

    def run(matrix: FloatArray) -> FloatArray:
        for transform in before:
            matrix = transform(matrix)
        return last(matrix)

    return run


def predicts_values(estimator: Any) -> bool:
    """Return True for a regressor."""
    return _name(estimator.steps[-1][1] if _name(estimator) == "Pipeline" else estimator) in REGRESSORS


def _name(thing: Any) -> str:
    return type(thing).__name__


def _transformer(step: Any, width: int) -> Function:
    if _name(step) == "SimpleImputer":
        filler = _vector(step.statistics_, width, "SimpleImputer.statistics_")
        if step.add_indicator:
            raise NotServed("SimpleImputer with add_indicator changes the columns")
        return lambda matrix: np.where(np.isnan(matrix), filler, matrix)
    if _name(step) == "StandardScaler":
        mean = _vector(step.mean_, width, "StandardScaler.mean_")
        scale = _vector(step.scale_, width, "StandardScaler.scale_")
        return lambda matrix: (matrix - mean) / scale
    raise NotServed(f"{_name(step)} is not a transformer of this flavour")


def _estimator(step: Any, width: int) -> Function:
    served = {**CLASSIFIERS, **REGRESSORS}
    if _name(step) not in served:
        raise NotServed(f"{_name(step)} is not an estimator of this flavour; it has {', '.join(served)}")
    return served[_name(step)](step, width)


def _logistic(step: Any, width: int) -> Function:
    weights = np.asarray(step.coef_, dtype=np.float64)
    bias = np.asarray(step.intercept_, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != width or bias.shape != (len(weights),):
        raise NotServed(f"LogisticRegression.coef_ has the shape {weights.shape} for {width} columns")
    return lambda matrix: to_scores(matrix @ weights.T + bias)


def _linear(step: Any, width: int) -> Function:
    weights = _vector(step.coef_, width, f"{_name(step)}.coef_")
    bias = float(np.asarray(step.intercept_, dtype=np.float64).reshape(()))
    if not np.isfinite(bias):
        raise NotServed(f"{_name(step)}.intercept_ is not finite")
    return lambda matrix: (matrix @ weights + bias)[:, None]


def _forest(step: Any, width: int) -> Function:
    return _averaged(step, width, len(step.classes_))


def _forest_of_values(step: Any, width: int) -> Function:
    return _averaged(step, width, 1)


def _averaged(step: Any, width: int, outputs: int) -> Function:
    trees = forest(step.estimators_, width, outputs)

    def scores(matrix: FloatArray) -> FloatArray:
        # scikit-learn compares in single precision
        averaged: FloatArray = trees.leaves(matrix.astype(np.float32).astype(np.float64)).mean(axis=1)
        return averaged

    return scores


def _boosting(step: Any, width: int) -> Function:
    raw = _boosted(step, width)
    return lambda matrix: to_scores(raw(matrix))


def _boosted(step: Any, width: int) -> Function:
    """Sum of the trees: log-odds of a classifier, values of a regressor with squared error."""
    trees = boosted(step._predictors, width)
    start = np.asarray(step._baseline_prediction, dtype=np.float64).reshape(1, -1)
    outputs = start.shape[1]
    rounds = len(step._predictors)
    if {len(one) for one in step._predictors} != {outputs}:
        raise MalformedTree(f"rounds do not have {outputs} trees each")

    def total(matrix: FloatArray) -> FloatArray:
        leaves = trees.leaves(matrix)[:, :, 0]
        summed: FloatArray = leaves.reshape(len(matrix), rounds, outputs).sum(axis=1) + start
        return summed

    return total


def _boosted_values(step: Any, width: int) -> Function:
    if step.loss != "squared_error":
        raise NotServed(f"{_name(step)} with the loss {step.loss}; use squared_error")
    return _boosted(step, width)


def _vector(value: Any, width: int, name: str) -> FloatArray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (width,) or not np.isfinite(array).all():
        raise NotServed(f"{name} has the shape {array.shape} or is not finite; {width} finite numbers are needed")
    return array


CLASSIFIERS: Final[Mapping[str, Callable[[Any, int], Function]]] = {
    "LogisticRegression": _logistic,
    "ExtraTreesClassifier": _forest,
    "RandomForestClassifier": _forest,
    "HistGradientBoostingClassifier": _boosting,
}
REGRESSORS: Final[Mapping[str, Callable[[Any, int], Function]]] = {
    "Ridge": _linear,
    "ExtraTreesRegressor": _forest_of_values,
    "RandomForestRegressor": _forest_of_values,
    "HistGradientBoostingRegressor": _boosted_values,
}
