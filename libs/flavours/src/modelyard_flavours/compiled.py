"""A fitted scikit-learn estimator as a plain numpy function of the matrix.

Only the forms listed here are served: what is not known is refused, never passed to code we did not read.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from modelyard_flavours.predictor import FloatArray
from modelyard_flavours.trees import MalformedTree, boosted, forest

Function = Callable[[FloatArray], FloatArray]


class NotServed(ValueError):
    """An estimator, or a setting of one, that this flavour has no form for."""


def compile_estimator(estimator: Any, width: int) -> Function:
    """Matrix (rows, width) to scores (rows, classes). NotServed or MalformedTree when it cannot be."""
    steps = [step for _, step in estimator.steps] if _name(estimator) == "Pipeline" else [estimator]
    before = [_transformer(step, width) for step in steps[:-1]]
    last = _classifier(steps[-1], width)

    def run(matrix: FloatArray) -> FloatArray:
        for transform in before:
            matrix = transform(matrix)
        return last(matrix)

    return run


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
    raise NotServed(f"{_name(step)} is no transformer of this flavour")


def _classifier(step: Any, width: int) -> Function:
    forms = {
        "LogisticRegression": _logistic,
        "ExtraTreesClassifier": _forest,
        "RandomForestClassifier": _forest,
        "HistGradientBoostingClassifier": _boosting,
    }
    if _name(step) not in forms:
        raise NotServed(f"{_name(step)} is no classifier of this flavour; it has {', '.join(forms)}")
    return forms[_name(step)](step, width)


def _logistic(step: Any, width: int) -> Function:
    weights = np.asarray(step.coef_, dtype=np.float64)
    bias = np.asarray(step.intercept_, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != width or bias.shape != (len(weights),):
        raise NotServed(f"LogisticRegression.coef_ has the shape {weights.shape} for {width} columns")
    return lambda matrix: _to_scores(matrix @ weights.T + bias)


def _forest(step: Any, width: int) -> Function:
    trees = forest(step.estimators_, width, len(step.classes_))

    def scores(matrix: FloatArray) -> FloatArray:
        # scikit-learn compares in single precision
        averaged: FloatArray = trees.leaves(matrix.astype(np.float32).astype(np.float64)).mean(axis=1)
        return averaged

    return scores


def _boosting(step: Any, width: int) -> Function:
    trees = boosted(step._predictors, width)
    start = np.asarray(step._baseline_prediction, dtype=np.float64).reshape(1, -1)
    outputs = start.shape[1]
    rounds = len(step._predictors)
    if {len(one) for one in step._predictors} != {outputs}:
        raise MalformedTree(f"rounds do not have {outputs} trees each")

    def scores(matrix: FloatArray) -> FloatArray:
        leaves = trees.leaves(matrix)[:, :, 0]
        return _to_scores(leaves.reshape(len(matrix), rounds, outputs).sum(axis=1) + start)

    return scores


def _to_scores(raw: FloatArray) -> FloatArray:
    """Log-odds to shares: one column is a binary model's, more are a softmax."""
    if raw.shape[1] == 1:
        raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _vector(value: Any, width: int, name: str) -> FloatArray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (width,) or not np.isfinite(array).all():
        raise NotServed(f"{name} has the shape {array.shape} or is not finite; {width} finite numbers are needed")
    return array
