"""Paired comparison of classifiers by the metric of the gate policy."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from modelyard_evaluator.domain.statistics import metrics, proportions, resampling, sequences
from modelyard_evaluator.domain.statistics.estimate import Bools, Estimate, Floats, Ints
from modelyard_evaluator.domain.statistics.resampling import Metric, value_of

NAMES: Final = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


@dataclass(frozen=True)
class Predictions:
    """Predictions of one version on the rows.

    predicted: place of the predicted class among the classes of the truth, -1 for another class. probability: of the
    true class. Both of shape (rows,).
    """

    predicted: Ints
    probability: Floats


def estimate(
    name: str,
    truth: Ints,
    champion: Predictions,
    challenger: Predictions,
    *,
    confidence: float,
    seed: int,
    sequential: bool = False,
) -> Estimate:
    """Compare by one of NAMES. truth: places of the true classes, 0 to classes - 1, shape (rows,).

    sequential: whether the rows are looked at again as they arrive; see sequences.py.
    """
    if name == "accuracy":
        right = champion.predicted == truth, challenger.predicted == truth
        return proportions.accuracy(*right, confidence, sequential=sequential)
    metric, old = contributions(name, truth, champion)
    _, new = contributions(name, truth, challenger)
    if sequential:
        interval = sequences.of_metric(metric, old, new, 1 - confidence)
    else:
        interval = resampling.of_metric(metric, old, new, confidence, seed)
    before, after = value_of(metric, old), value_of(metric, new)
    better, worse = _better(name, truth, champion, challenger), _better(name, truth, challenger, champion)
    return Estimate(
        champion=before,
        challenger=after,
        difference=after - before,
        **interval._asdict(),
        wins=int(better.sum()),
        losses=int(worse.sum()),
    )


def all_metrics(truth: Ints, predictions: Predictions) -> dict[str, float]:
    """Every metric of one version."""
    return {name: value_of(*contributions(name, truth, predictions)) for name in NAMES}


def contributions(name: str, truth: Ints, side: Predictions) -> tuple[Metric, Floats]:
    """The metric as a function of totals, and each row's contributions."""
    count = int(truth.max()) + 1
    right = side.predicted == truth
    if name == "accuracy":
        return metrics.mean, np.column_stack([right.astype(np.float64), np.ones(len(truth))])
    if name == "balanced_accuracy":
        return metrics.balanced_accuracy, metrics.right_by_class(truth, right, count)
    if name == "macro_f1":
        return metrics.macro_f1, metrics.confusions(truth, side.predicted, count)
    return metrics.mean, metrics.log_losses(side.probability)


def _better(name: str, truth: Ints, one: Predictions, other: Predictions) -> Bools:
    """Rows where `other` is better than `one`."""
    if name == "log_loss":
        return np.asarray(other.probability > one.probability)
    return np.asarray((other.predicted == truth) & (one.predicted != truth))
