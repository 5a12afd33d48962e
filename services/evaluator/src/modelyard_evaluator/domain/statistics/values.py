"""Paired comparison of regressions by the metric of the gate policy."""

from typing import Final

import numpy as np

from modelyard_evaluator.domain.statistics import metrics, resampling, sequences
from modelyard_evaluator.domain.statistics.estimate import Estimate, Floats
from modelyard_evaluator.domain.statistics.resampling import Metric, value_of

NAMES: Final = ("mae", "rmse", "r2")


def estimate(
    name: str,
    truth: Floats,
    champion: Floats,
    challenger: Floats,
    *,
    confidence: float,
    seed: int,
    sequential: bool = False,
) -> Estimate:
    """Compare by one of NAMES. truth and predicted values: shape (rows,), finite, in the unit of the target.

    sequential: whether the rows are looked at again as they arrive; see sequences.py.
    """
    metric, old = contributions(name, truth, champion)
    _, new = contributions(name, truth, challenger)
    if sequential:
        interval = sequences.of_metric(metric, old, new, 1 - confidence)
    else:
        interval = resampling.of_metric(metric, old, new, confidence, seed)
    before, after = value_of(metric, old), value_of(metric, new)
    old_error, new_error = np.abs(truth - champion), np.abs(truth - challenger)
    return Estimate(
        champion=before,
        challenger=after,
        difference=after - before,
        **interval._asdict(),
        wins=int((new_error < old_error).sum()),
        losses=int((new_error > old_error).sum()),
    )


def all_metrics(truth: Floats, predicted: Floats) -> dict[str, float]:
    """Every metric of one version; without R2 if all true values are equal."""
    found = {name: value_of(*contributions(name, truth, predicted)) for name in NAMES}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def contributions(name: str, truth: Floats, predicted: Floats) -> tuple[Metric, Floats]:
    """The metric as a function of totals, and each row's contributions."""
    errors, ones = truth - predicted, np.ones_like(truth)
    if name == "mae":
        return metrics.mean, np.column_stack([np.abs(errors), ones])
    if name == "rmse":
        return metrics.root_mean, np.column_stack([errors**2, ones])
    return metrics.r2, metrics.squares(truth, predicted)
