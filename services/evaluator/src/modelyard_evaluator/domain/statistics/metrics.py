"""Metrics as functions of sums over rows: each has the contributions of a row and the value of their totals.

The values equal those of scikit-learn's functions of the same names (tests compare them).
"""

from typing import Final

import numpy as np

from modelyard_evaluator.domain.statistics.estimate import Bools, Floats, Ints

LEAST_PROBABILITY: Final = 1e-6
"""Lower bound in the log loss, so that one impossible class does not outweigh a thousand rows."""


def indicators(classes: Ints, count: int) -> Floats:
    """One column per class: 1 where a row has it. classes: shape (rows,), -1 for a class outside of `count`."""
    return np.asarray(classes[:, None] == np.arange(count), dtype=np.float64)


def right_by_class(truth: Ints, right: Bools, count: int) -> Floats:
    """Contributions of the balanced accuracy: right answers by class, rows by class; shape (rows, 2 x count)."""
    rows = indicators(truth, count)
    return np.hstack([rows * right[:, None], rows])


def balanced_accuracy(totals: Floats) -> Floats:
    """Mean share of right answers over the classes that have rows (Brodersen et al. 2010)."""
    right, rows = np.hsplit(totals, 2)
    return _mean(_ratio(right, rows))


def confusions(truth: Ints, predicted: Ints, count: int) -> Floats:
    """Contributions of the macro F1: hits, predictions and rows by class; shape (rows, 3 x count)."""
    rows, predictions = indicators(truth, count), indicators(predicted, count)
    return np.hstack([rows * predictions, predictions, rows])


def macro_f1(totals: Floats) -> Floats:
    """Mean F1 over the classes that have rows (van Rijsbergen 1979; labels=unique(truth) in scikit-learn)."""
    hits, predictions, rows = np.hsplit(totals, 3)
    scores = np.where(rows > 0, _ratio(2 * hits, predictions + rows), np.nan)
    return _mean(scores)


def log_losses(probability: Floats) -> Floats:
    """Contributions of the log loss: -ln of the probability of the true class, and 1; shape (rows, 2)."""
    losses = -np.log(np.clip(probability, LEAST_PROBABILITY, 1.0))
    return np.column_stack([losses, np.ones_like(losses)])


def mean(totals: Floats) -> Floats:
    """Mean of the first column; the second one counts rows. Log loss and mean absolute error."""
    return np.asarray(totals[:, 0] / totals[:, 1])


def root_mean(totals: Floats) -> Floats:
    """Root of the mean of the first column. Root mean squared error."""
    return np.asarray(np.sqrt(totals[:, 0] / totals[:, 1]))


def squares(truth: Floats, predicted: Floats) -> Floats:
    """Contributions of R2: squared error, centered truth, its square, and 1; shape (rows, 4)."""
    centered = truth - truth.mean()
    return np.column_stack([(truth - predicted) ** 2, centered, centered**2, np.ones_like(truth)])


def r2(totals: Floats) -> Floats:
    """1 - sum of squared errors / sum of squares around the mean; nan if all true values are equal."""
    errors, total, total_squares, rows = totals.T
    around_mean = total_squares - total**2 / rows
    return np.asarray(1 - np.divide(errors, around_mean, out=np.full_like(errors, np.nan), where=around_mean > 0))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean(values: Floats) -> Floats:
    return np.asarray(np.nanmean(values, axis=1), dtype=np.float64)
