"""Figures of a classifier on rows it has not seen; greater is better for each."""

import numpy as np
from numpy.typing import NDArray

from modelyard_trainer.worker.work import FloatArray

_FLOOR = 1e-6


def figures(labels: NDArray[np.int64], scores: FloatArray) -> dict[str, float]:
    """accuracy, balanced_accuracy (mean recall of the classes that occur), and log_loss with its sign turned.

    labels: shape (rows,), numbers of classes; scores: shape (rows, classes).
    """
    guessed = scores.argmax(axis=1)
    right = guessed == labels
    recalls = [right[labels == place].mean() for place in np.unique(labels)]
    told = np.clip(scores[np.arange(len(labels)), labels], _FLOOR, 1.0)
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "log_loss": float(np.log(told).mean()),
    }
