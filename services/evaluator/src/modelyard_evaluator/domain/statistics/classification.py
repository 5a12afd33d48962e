"""Paired comparison of classifiers: accuracy, balanced accuracy, log loss."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

RESAMPLES: Final = 2_000
CHUNK: Final = 250
"""Resamples computed at a time; bounds memory at CHUNK x rows x 8 bytes."""
LEAST_PROBABILITY: Final = 1e-6
"""A probability below it costs no more in the log loss: one impossible class must not outweigh a thousand rows."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """Challenger minus champion, with a two-sided interval."""

    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    wins: int
    """Rows where only the challenger is right (or, for the log loss, better)."""
    losses: int


def mcnemar_mid_p(wins: int, losses: int) -> float:
    """Two-sided mid-p of McNemar's exact test over the discordant rows; 1 if there are none."""
    discordant = wins + losses
    if discordant == 0:
        return 1.0
    least = min(wins, losses)
    both = 2 * binom.cdf(least, discordant, 0.5) - binom.pmf(least, discordant, 0.5)
    return float(min(1.0, both))


def paired_proportions_interval(
    both: int, wins: int, losses: int, neither: int, confidence: float
) -> tuple[float, float]:
    """Newcombe's interval (1998, method 10) of the difference of two paired proportions, (wins - losses) / rows.

    Counts of rows that both, only the challenger, only the champion, and neither get right. It stays inside [-1, 1] and
    keeps its coverage with few discordant rows, where Wald's does not.
    """
    rows = both + wins + losses + neither
    new, old = (both + wins) / rows, (both + losses) / rows
    new_low, new_high = wilson(both + wins, rows, confidence)
    old_low, old_high = wilson(both + losses, rows, confidence)
    phi = _phi(both, wins, losses, neither)
    down = _spread(new - new_low, old_high - old, phi)
    up = _spread(new_high - new, old - old_low, phi)
    return new - old - down, new - old + up


def wilson(successes: int, rows: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion."""
    z = float(norm.ppf((1 + confidence) / 2))
    middle = 2 * successes + z * z
    half = z * sqrt(z * z + 4 * successes * (1 - successes / rows))
    return (middle - half) / (2 * (rows + z * z)), (middle + half) / (2 * (rows + z * z))


def _phi(both: int, wins: int, losses: int, neither: int) -> float:
    margins = (both + wins) * (losses + neither) * (both + losses) * (wins + neither)
    if margins == 0:
        return 0.0
    product = both * neither - wins * losses
    corrected = max(product - (both + wins + losses + neither) / 2, 0.0) if product > 0 else float(product)
    return corrected / sqrt(margins)


def _spread(one: float, other: float, phi: float) -> float:
    return sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def accuracy(champion_right: Bools, challenger_right: Bools, confidence: float) -> Estimate:
    """Share of right answers; exact McNemar test (mid-p) and Newcombe's interval. Both of shape (rows,)."""
    wins = int((challenger_right & ~champion_right).sum())
    losses = int((champion_right & ~challenger_right).sum())
    both = int((champion_right & challenger_right).sum())
    rows = len(champion_right)
    low, high = paired_proportions_interval(both, wins, losses, rows - both - wins - losses, confidence)
    return Estimate(
        champion=(both + losses) / rows,
        challenger=(both + wins) / rows,
        difference=(wins - losses) / rows,
        low=low,
        high=high,
        p_value=mcnemar_mid_p(wins, losses),
        test="mcnemar exact mid-p, newcombe interval",
        wins=wins,
        losses=losses,
    )


def balanced_accuracy(
    labels: Ints, champion_right: Bools, challenger_right: Bools, confidence: float, seed: int
) -> Estimate:
    """Mean over the classes of the share of right answers; paired bootstrap. labels: shape (rows,), from 0."""
    classes = [labels == label for label in np.unique(labels)]

    def metric(weights: Floats, right: Bools) -> Floats:
        # A class that a resample misses altogether is left out of that resample's mean.
        parts = np.stack([(weights[:, of] @ right[of], weights[:, of].sum(axis=1)) for of in classes])
        shares = np.divide(parts[:, 0], parts[:, 1], out=np.full_like(parts[:, 0], np.nan), where=parts[:, 1] > 0)
        return np.asarray(np.nanmean(shares, axis=0), dtype=np.float64)

    return _bootstrap(metric, champion_right, challenger_right, confidence, seed, higher_is_better=True)


def log_loss(champion_probability: Floats, challenger_probability: Floats, confidence: float, seed: int) -> Estimate:
    """Mean negative log of the probability given to the true class, shape (rows,); paired bootstrap.

    Lower is better.
    """

    def metric(weights: Floats, losses: Floats) -> Floats:
        return np.asarray(weights @ losses / weights.sum(axis=1), dtype=np.float64)

    champion = -np.log(np.clip(champion_probability, LEAST_PROBABILITY, 1.0))
    challenger = -np.log(np.clip(challenger_probability, LEAST_PROBABILITY, 1.0))
    return _bootstrap(metric, champion, challenger, confidence, seed, higher_is_better=False)


def _bootstrap(
    metric: Callable[[Floats, NDArray[np.generic]], Floats] | Callable[..., Floats],
    champion: NDArray[np.generic],
    challenger: NDArray[np.generic],
    confidence: float,
    seed: int,
    *,
    higher_is_better: bool,
) -> Estimate:
    """Percentile interval of the difference over resampled rows, the same rows for both."""
    rows = len(champion)
    whole = np.ones((1, rows))
    old, new = float(metric(whole, champion)[0]), float(metric(whole, challenger)[0])
    rng = np.random.default_rng(seed)
    draws = []
    for start in range(0, RESAMPLES, CHUNK):
        many = min(CHUNK, RESAMPLES - start)
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=many).astype(np.float64)
        draws.append(metric(weights, challenger) - metric(weights, champion))
    differences = np.concatenate(draws)
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    better = np.asarray(challenger, dtype=float) > np.asarray(champion, dtype=float)
    worse = np.asarray(challenger, dtype=float) < np.asarray(champion, dtype=float)
    wins, losses = (better, worse) if higher_is_better else (worse, better)
    return Estimate(
        champion=old,
        challenger=new,
        difference=new - old,
        low=float(low),
        high=float(high),
        p_value=min(1.0, 2 * (min(below, above) + 1) / (RESAMPLES + 1)),
        test=f"paired bootstrap, {RESAMPLES} resamples",
        wins=int(wins.sum()),
        losses=int(losses.sum()),
    )
