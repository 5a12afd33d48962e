"""Confidence sequences: worked by hand, against their own definition, and by simulation of many looks."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from modelyard_evaluator.domain.statistics import classes, sequences, values
from modelyard_evaluator.domain.statistics.classes import Predictions
from modelyard_evaluator.domain.statistics.simulation import Gate, passed, shows

PAIRS, ROWS = 1_000, 4_000


def test_the_wealth_is_the_mean_of_what_the_bets_win() -> None:
    differences = [1, -1, 0, 1]
    mean = -0.1
    by_hand = [
        np.prod([1 + bet * ((1 + difference) / (1 + mean) - 1) for difference in differences]) for bet in sequences.BETS
    ]
    assert float(sequences.log_wealth(2, 1, 1, mean)) == pytest.approx(log(np.mean(by_hand)))


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(0, 3_000))
def test_an_interval_holds_its_estimate_and_turns_round_with_the_sides(wins: int, losses: int, ties: int) -> None:
    rows = wins + losses + ties
    if rows == 0:
        return
    low, high, p_value, _ = sequences.of_proportions(wins, losses, ties, 0.05)
    assert -1 <= low <= (wins - losses) / rows + 1e-6 <= high + 2e-6 <= 1 + 2e-6
    assert 0 <= p_value <= 1
    turned = sequences.of_proportions(losses, wins, ties, 0.05)
    assert (turned.low, turned.high) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("wins", "losses", "ties"), [(100, 40, 860), (30, 2, 500), (400, 420, 900)])
def test_the_end_of_the_interval_is_where_the_wealth_refutes(wins: int, losses: int, ties: int) -> None:
    low = sequences.of_proportions(wins, losses, ties, 0.05).low
    assert float(sequences.log_wealth(wins, losses, ties, low)) == pytest.approx(log(20), abs=1e-3)
    wider = sequences.of_proportions(wins, losses, ties, 0.01).low
    assert wider < low


def test_more_rows_of_the_same_kind_narrow_the_interval() -> None:
    widths = [
        high - low
        for scale in (1, 4, 16)
        for low, high, _, _ in [sequences.of_proportions(15 * scale, 10 * scale, 75 * scale, 0.05)]
    ]
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2]


@pytest.mark.parametrize("metric", values.NAMES)
def test_the_error_of_a_regression_metric_is_that_of_many_samples(metric: str) -> None:
    """The radius is the standard error by simulation, times the factor of the sequence at these rows."""
    rng, rows = np.random.default_rng(1), 2_000
    found = []
    for _ in range(300):
        truth = rng.normal(size=rows)
        old, new = truth + rng.normal(size=rows), truth + rng.normal(size=rows)
        found.append(values.estimate(metric, truth, old, new, confidence=0.95, seed=1, sequential=True))
    error = float(np.std([one.difference for one in found]))
    radius = float(np.mean([one.high - one.difference for one in found]))
    rho_squared = (-2 * log(0.1) + log(-2 * log(0.1) + 1)) / 2_000
    scaled = rows * rho_squared + 1
    factor = np.sqrt(2 * scaled / (rows * rho_squared) * log(1 + np.sqrt(scaled) / 0.1))
    assert radius == pytest.approx(error * factor, rel=0.12)
    assert factor > norm.ppf(0.95)


@pytest.mark.parametrize("metric", classes.NAMES)
def test_every_metric_of_classes_has_a_sequence_around_its_difference(metric: str) -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 1_500)
    old = Predictions(np.where(rng.random(1_500) < 0.6, truth, 0), rng.uniform(0.2, 0.7, 1_500))
    new = Predictions(np.where(rng.random(1_500) < 0.8, truth, 0), rng.uniform(0.4, 0.9, 1_500))
    once = classes.estimate(metric, truth, old, new, confidence=0.95, seed=1)
    always = classes.estimate(metric, truth, old, new, confidence=0.95, seed=1, sequential=True)
    assert always.difference == once.difference
    assert always.low < once.low < once.high < always.high
    assert always.high - always.low < 2.2 * (once.high - once.low)
    assert 0 < always.p_value < 0.01


@pytest.mark.parametrize("discordant", [0.02, 0.1, 0.3])
@pytest.mark.parametrize(("gate", "difference"), [(Gate("better", 0.0), 0.0), (Gate("not_worse", 0.02), -0.02)])
def test_a_version_that_is_no_better_passes_within_alpha_over_all_looks(
    gate: Gate, difference: float, discordant: float
) -> None:
    assert passed(gate, difference, discordant, pairs=PAIRS, rows=ROWS).share <= 0.05


@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_the_simulation_leaves_out_no_pair_that_passes(margin: float) -> None:
    rng = np.random.default_rng(4)
    for discordant in (0.02, 0.3, 0.9):
        shares = [discordant * 0.55, discordant * 0.45, 1 - discordant]
        wins, losses, ties = rng.multinomial(1_000, shares, size=2_000).astype(np.float64).T
        expected = sequences.log_wealth(wins, losses, ties, -margin) > log(20)
        assert (shows(Gate("better", margin), wins, losses, ties) == expected).all()


def test_a_test_for_one_look_passes_too_many_over_many_looks() -> None:
    """The simulation sees it: the guard is the sequence."""
    once = Gate("better", 0.0, sequential=False)
    assert passed(once, 0.0, 0.1, pairs=PAIRS, rows=ROWS).share > 0.1


def test_a_better_version_passes_with_as_many_rows_as_its_gain_needs() -> None:
    small = passed(Gate("better", 0.0), 0.05, 0.1, pairs=300, rows=ROWS)
    failing = passed(Gate("not_worse", 0.02), 0.05, 0.1, pairs=300, rows=ROWS)
    assert small.share > 0.99
    assert failing.median_rows < small.median_rows < 800
