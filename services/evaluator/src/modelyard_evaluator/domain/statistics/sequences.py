"""Confidence sequences: intervals that hold at all looks simultaneously, so that rows may be compared as they arrive.

Proportions: bets on the mean m of differences d in [-1, 1]. The wealth prod(1 + t ((1 + d) / (1 + m) - 1)) of a bet t
in (0, 1), and so that of a mixture of bets, is a non-negative supermartingale if no difference has a larger mean than m
given those before it; it exceeds 1 / alpha at any look with probability alpha at most (Ville 1939; Waudby-Smith and
Ramdas 2024, JRSS B 86, 1; mixture: Cover 1991). It depends on counts only: the order of the rows does not matter.

Other metrics: asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, Annals of Statistics
52, 2613) of jackknife pseudo-values (Miller 1974, Biometrika 61, 1).
"""

from math import exp, expm1, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import logsumexp

from modelyard_evaluator.domain.statistics.estimate import Floats, Interval
from modelyard_evaluator.domain.statistics.resampling import Metric, value_of

BETS: Final = np.geomspace(0.005, 0.95, 24)
"""Bets of the mixture, with equal weights: small ones win on small differences over many rows."""
TIGHTEST_AT: Final = 2_000
"""Rows at which the asymptotic sequence is tightest; affects tightness, not validity."""
EXACT: Final = "confidence sequence by betting"
ASYMPTOTIC: Final = "asymptotic confidence sequence"


def log_wealth(wins: ArrayLike, losses: ArrayLike, ties: ArrayLike, mean: float) -> Floats:
    """Log wealth of the mixture that bets against a mean difference of at most `mean`, in (-1, 1).

    wins, losses, ties: rows with the difference 1, -1 and 0, of equal shapes (samples,) or numbers.
    """
    won, tied, lost = (np.log1p(BETS * (ratio / (1 + mean) - 1)) for ratio in (2.0, 1.0, 0.0))
    wealth = np.multiply.outer(wins, won) + np.multiply.outer(ties, tied) + np.multiply.outer(losses, lost)
    return np.asarray(logsumexp(wealth, axis=-1) - log(len(BETS)), dtype=np.float64)


def of_proportions(wins: int, losses: int, ties: int, alpha: float) -> Interval:
    """Interval of (wins - losses) / rows; each end is beyond the true difference with probability alpha at most.

    wins, losses: rows that only the challenger, only the champion gets right.
    """
    against = max(float(log_wealth(wins, losses, ties, 0.0)), float(log_wealth(losses, wins, ties, 0.0)))
    p_value = min(1.0, 2 * exp(-max(against, 0.0)))
    return Interval(_low(wins, losses, ties, alpha), -_low(losses, wins, ties, alpha), p_value, EXACT)


def _low(wins: int, losses: int, ties: int, alpha: float) -> float:
    """The smallest mean that the wealth does not refute; the wealth falls with the mean."""

    def excess(mean: float) -> float:
        return float(log_wealth(wins, losses, ties, mean)) - log(1 / alpha)

    least, most = -1 + 1e-9, min((wins - losses) / (wins + losses + ties), 1 - 1e-9)
    if most <= least or excess(least) <= 0:
        return -1.0
    return float(brentq(excess, least, most, xtol=1e-8))


def of_metric(metric: Metric, champion: Floats, challenger: Floats, alpha: float) -> Interval:
    """Interval of challenger minus champion of a metric of sums; each end as in `of_proportions`, for many rows.

    champion, challenger: contributions of each row, shape (rows, k).
    """
    pseudo = _pseudo_values(metric, challenger) - _pseudo_values(metric, champion)
    rows, value = len(pseudo), value_of(metric, challenger) - value_of(metric, champion)
    error = float(np.std(pseudo, ddof=1)) / sqrt(rows)
    rho_squared = _rho_squared(alpha)
    scaled = rows * rho_squared + 1
    factor = sqrt(2 * scaled / (rows * rho_squared))
    radius = error * factor * sqrt(log(1 + sqrt(scaled) / (2 * alpha)))
    return Interval(value - radius, value + radius, _p_value(value, error * factor, scaled), ASYMPTOTIC)


def _pseudo_values(metric: Metric, contributions: Floats) -> Floats:
    """n value(all) - (n - 1) value(all but one): their mean is the metric without its bias of order 1 / n."""
    rows, total = len(contributions), contributions.sum(axis=0)
    without = metric(total[None] - contributions)
    return np.asarray(rows * value_of(metric, contributions) - (rows - 1) * without, dtype=np.float64)


def _rho_squared(alpha: float) -> float:
    log_term = -2 * log(2 * alpha)
    return (log_term + log(log_term + 1)) / TIGHTEST_AT


def _p_value(value: float, unit: float, scaled: float) -> float:
    """Twice the alpha at which an end of the interval would be 0."""
    if unit == 0:
        return 1.0 if value == 0 else 0.0
    squares = (value / unit) ** 2
    return 1.0 if squares == 0 else min(1.0, sqrt(scaled) / expm1(min(squares, 700.0)))
