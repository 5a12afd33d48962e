"""Simulated pairs of versions at the gate: how many pass, and after how many rows. For tests and benchmarks."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.stats import norm

from modelyard_evaluator.domain.statistics.estimate import Bools, Floats
from modelyard_evaluator.domain.statistics.sequences import log_wealth

FIRST_LOOK_ROWS: Final = 100
"""The gate's default `min_rows`."""
EVERY_ROWS: Final = 20
MOST_PER_SQUARE: Final = 1.47
"""1 / (4 (1 / 2 - t y / 3)) for the largest bet t = 0.95 and the largest scaled difference y = 1.02 / 0.98."""


@dataclass(frozen=True)
class Gate:
    """What a challenger must show by its accuracy. sequential: else a test for one look is repeated at every look."""

    standard: Literal["better", "not_worse"]
    margin: float
    """Loss that is accepted; 0 for `better`."""
    alpha: float = 0.05
    sequential: bool = True


@dataclass(frozen=True)
class Passed:
    """Share of the pairs that passed at any look, and the median of their rows until then (inf: fewer than half)."""

    share: float
    median_rows: float


def passed(
    gate: Gate, difference: float, discordant: float, *, pairs: int, rows: int, every: int = EVERY_ROWS, seed: int = 0
) -> Passed:
    """Simulate pairs of versions, looked at from FIRST_LOOK_ROWS on and then after `every` rows.

    difference: true accuracy of the challenger minus the champion's. discordant: share of rows that only one of them
    gets right, at least the size of the difference.
    """
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    rng, counts, seen = np.random.default_rng(seed), np.zeros((pairs, 3)), 0
    rows_until = np.full(pairs, np.inf)
    while seen < rows:
        more = every if seen else FIRST_LOOK_ROWS
        counts, seen = counts + rng.multinomial(more, shares, size=pairs), seen + more
        undecided = np.flatnonzero(np.isinf(rows_until))
        rows_until[undecided[shows(gate, *counts[undecided].T)]] = seen
    return Passed(float(np.isfinite(rows_until).mean()), float(np.median(rows_until)))


def shows(gate: Gate, wins: Floats, losses: Floats, ties: Floats) -> Bools:
    """Whether each pair passes a look. wins, losses, ties: rows that only the challenger, only the champion gets right,
    and the others; shapes (pairs,).
    """
    found = _shown_by_sequence if gate.sequential else _shown_by_one_look
    return found(gate, wins, losses, ties)


def _shown_by_sequence(gate: Gate, wins: Floats, losses: Floats, ties: Floats) -> Bools:
    """Whether the lower end of the sequence is above -margin: the wealth refutes a mean of -margin.

    As log(1 + x) <= x - x^2 / 2 + x^3 / 3, no bet wins more than 1.47 S^2 / Q: S is the sum of the differences less the
    mean, Q that of their squares (margins up to 0.02). Other pairs need no wealth.
    """
    mean = -gate.margin
    total = wins - losses - mean * (wins + losses + ties)
    squares = wins * (1 - mean) ** 2 + losses * (1 + mean) ** 2 + ties * mean**2
    found = (total > 0) & (MOST_PER_SQUARE * total**2 > np.log(1 / gate.alpha) * squares)
    wealth = log_wealth(wins[found], losses[found], ties[found], mean)
    found[found] = wealth > np.log(1 / gate.alpha)
    return np.asarray(found)


def _shown_by_one_look(gate: Gate, wins: Floats, losses: Floats, ties: Floats) -> Bools:
    """Whether the lower end of Wald's interval is above -margin."""
    rows = wins + losses + ties
    mean = (wins - losses) / rows
    error = np.sqrt(np.maximum((wins + losses) / rows - mean**2, 1 / rows) / rows)
    return np.asarray(mean - norm.ppf(1 - gate.alpha) * error > -gate.margin)
