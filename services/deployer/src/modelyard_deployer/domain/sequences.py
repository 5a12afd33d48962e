"""Confidence sequences: bounds that hold at all checks simultaneously, so data may be checked as often as needed.

One-sided asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: "Time-uniform central limit
theory and asymptotic confidence sequences", 2023, with the one-sided mixture), for a difference of two rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Final

TIGHTEST_AT: Final = 2_000
"""Observations (both arms, of equal size) at which the bound is tightest; affects tightness, not validity."""


@dataclass(frozen=True)
class Pair:
    """Two arms that ran at the same time under the same conditions."""

    new_rows: int
    new_events: int
    old_rows: int
    old_events: int


@dataclass(frozen=True)
class MeanPair:
    """Two concurrent arms compared by a mean, such as the mean absolute error; sd: sample standard deviation."""

    new_rows: int
    new_mean: float
    new_sd: float
    old_rows: int
    old_mean: float
    old_sd: float


@dataclass(frozen=True)
class Difference:
    """New rate or mean minus the old one, over all pairs."""

    value: float
    standard_error: float
    rows: float
    """Effective number of rows: the size of two equal arms with the same information."""


def rate_difference(pairs: Sequence[Pair]) -> Difference | None:
    """Mantel-Haenszel difference of rates over strata; None when no stratum has rows in both arms.

    Comparing only within strata keeps a shift of the data between steps from being attributed to the arm whose share
    grew. The variance uses Agresti-Caffo rates (one event and one non-event added to each arm), so that zero events do
    not imply zero variance.
    """
    both = [pair for pair in pairs if pair.new_rows > 0 and pair.old_rows > 0]
    weights = [pair.new_rows * pair.old_rows / (pair.new_rows + pair.old_rows) for pair in both]
    total = sum(weights)
    if total == 0:
        return None
    value = sum(
        weight * (pair.new_events / pair.new_rows - pair.old_events / pair.old_rows)
        for weight, pair in zip(weights, both, strict=True)
    )
    variance = sum(
        weight**2 * (_variance(pair.new_events, pair.new_rows) + _variance(pair.old_events, pair.old_rows))
        for weight, pair in zip(weights, both, strict=True)
    )
    return Difference(value / total, sqrt(variance) / total, 4 * total)


def mean_difference(pairs: Sequence[MeanPair]) -> Difference | None:
    """Difference of means over strata, weighted as in `rate_difference`; None when no stratum has 2 rows in both arms.

    Unit: that of the means.
    """
    both = [pair for pair in pairs if pair.new_rows > 1 and pair.old_rows > 1]
    weights = [pair.new_rows * pair.old_rows / (pair.new_rows + pair.old_rows) for pair in both]
    total = sum(weights)
    if total == 0:
        return None
    value = sum(weight * (pair.new_mean - pair.old_mean) for weight, pair in zip(weights, both, strict=True))
    variance = sum(
        weight**2 * (pair.new_sd**2 / pair.new_rows + pair.old_sd**2 / pair.old_rows)
        for weight, pair in zip(weights, both, strict=True)
    )
    return Difference(value / total, sqrt(variance) / total, 4 * total)


def lower_bound(difference: Difference, alpha: float) -> float:
    """Return a bound that stays below the true difference at all checks simultaneously with probability 1 - alpha."""
    rho_squared = _rho_squared(alpha)
    scaled = difference.rows * rho_squared + 1
    radius = sqrt(2 * scaled / (difference.rows * rho_squared) * log(1 + sqrt(scaled) / (2 * alpha)))
    return difference.value - difference.standard_error * radius


def _rho_squared(alpha: float) -> float:
    log_term = -2 * log(2 * alpha)
    return (log_term + log(log_term + 1)) / TIGHTEST_AT


def _variance(events: int, rows: int) -> float:
    rate = (events + 1) / (rows + 2)
    return rate * (1 - rate) / rows
