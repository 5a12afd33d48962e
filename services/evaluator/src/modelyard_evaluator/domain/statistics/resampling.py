"""Paired resampling of any metric that is a function of sums over rows.

A metric maps totals of shape (samples, k), the sums of each row's k contributions, to values of shape (samples,).
Sources: percentile bootstrap: Efron and Tibshirani (1993) ch. 13, rows drawn in pairs; permutation: the two versions'
predictions are swapped per row with probability 1/2 (Good, 2005, ch. 3); p-value (b + 1) / (m + 1): Phipson and Smyth
(2010) Stat Appl Genet Mol Biol 9:39.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from modelyard_evaluator.domain.statistics.estimate import Floats, Interval

Metric = Callable[[Floats], Floats]
RESAMPLES: Final = 2_000
CHUNK: Final = 250
"""Resamples computed at a time; bounds memory at CHUNK x rows x 8 bytes."""
TEST: Final = f"paired permutation ({RESAMPLES}), percentile bootstrap interval"


def value_of(metric: Metric, contributions: Floats) -> float:
    """The metric of all rows. contributions: shape (rows, k)."""
    return float(metric(contributions.sum(axis=0, keepdims=True))[0])


def of_metric(metric: Metric, champion: Floats, challenger: Floats, confidence: float, seed: int) -> Interval:
    """Interval and p-value of challenger minus champion, for one look at the rows."""
    rng = np.random.default_rng(seed)
    low, high = bootstrap_interval(metric, champion, challenger, confidence, rng)
    return Interval(low, high, permutation_p_value(metric, champion, challenger, rng), TEST)


def bootstrap_interval(
    metric: Metric, champion: Floats, challenger: Floats, confidence: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of challenger minus champion over resampled rows, the same rows for both."""
    rows = len(champion)
    differences = []
    for size in _chunks():
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=size).astype(np.float64)
        differences.append(metric(weights @ challenger) - metric(weights @ champion))
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(np.concatenate(differences), [tail, 1 - tail])
    return float(low), float(high)


def permutation_p_value(metric: Metric, champion: Floats, challenger: Floats, rng: np.random.Generator) -> float:
    """Two-sided p-value of the difference if champion and challenger were exchangeable on every row."""
    change = champion - challenger
    old, new = champion.sum(axis=0), challenger.sum(axis=0)
    observed = abs(float(metric(new[None])[0] - metric(old[None])[0]))
    extreme = 0
    for size in _chunks():
        moved = rng.integers(0, 2, size=(size, len(champion))).astype(np.float64) @ change
        extreme += int((np.abs(metric(new + moved) - metric(old - moved)) >= observed - 1e-12).sum())
    return (extreme + 1) / (RESAMPLES + 1)


def _chunks() -> Iterator[int]:
    for start in range(0, RESAMPLES, CHUNK):
        yield min(CHUNK, RESAMPLES - start)
