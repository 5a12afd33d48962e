"""Metrics on rows that a model was not fitted on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_FLOOR = 1e-6
LOSSES = frozenset({"log_loss", "mae", "rmse"})
"""Metrics for which smaller is better."""


def class_figures(labels: NDArray[np.int64], scores: FloatArray) -> dict[str, float]:
    """accuracy, balanced_accuracy (mean recall of the classes that occur), macro_f1 and log_loss (mean, in nats).

    labels: shape (rows,), class numbers. scores: shape (rows, classes). macro_f1 is the mean over classes that occur or
    are predicted, as in scikit-learn.
    """
    predicted = scores.argmax(axis=1)
    right = predicted == labels
    recalls = [right[labels == place].mean() for place in np.unique(labels)]
    likelihood = np.clip(scores[np.arange(len(labels)), labels], _FLOOR, 1.0)
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": float(np.mean([_f1(labels, predicted, place) for place in np.union1d(labels, predicted)])),
        "log_loss": float(-np.log(likelihood).mean()),
    }


def _f1(labels: Any, predicted: Any, place: int) -> float:
    both = int(((labels == place) & (predicted == place)).sum())
    return 2 * both / (int((labels == place).sum()) + int((predicted == place).sum()))


def value_figures(targets: FloatArray, values: FloatArray) -> dict[str, float]:
    """mae and rmse in the unit of the target, and r2 (0 if all targets are equal). Shapes (rows,)."""
    errors = values - targets
    spread = float(((targets - targets.mean()) ** 2).sum())
    return {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "r2": 1.0 - float((errors**2).sum()) / spread if spread > 0 else 0.0,
    }


def figures(targets: Any, outputs: FloatArray) -> dict[str, float]:
    """Metrics of outputs: values of shape (rows, 1) with float targets, or scores of shape (rows, classes)."""
    if np.issubdtype(targets.dtype, np.floating):
        return value_figures(targets, outputs[:, 0])
    return class_figures(targets, outputs)
