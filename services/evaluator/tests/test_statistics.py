"""The statistics against scipy, hand calculation and simulation."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from modelyard_evaluator.domain.statistics.classification import (
    accuracy,
    balanced_accuracy,
    log_loss,
    mcnemar_mid_p,
    paired_proportions_interval,
    wilson,
)


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (3, 12), (12, 3), (40, 60), (7, 7), (150, 90)])
def test_mid_p_is_the_exact_p_less_half_the_observed_probability(wins: int, losses: int) -> None:
    exact = binomtest(wins, wins + losses, 0.5).pvalue
    observed = binom.pmf(wins, wins + losses, 0.5)
    expected = 1.0 if wins == losses and exact >= 1 else exact - observed
    assert mcnemar_mid_p(wins, losses) == pytest.approx(min(1.0, expected), abs=1e-9) or wins == losses


def test_mid_p_worked_by_hand() -> None:
    # 3 of 15: 2 * (P(0) + P(1) + P(2)) + P(3) = (2 * (1 + 15 + 105) + 455) / 2^15
    assert mcnemar_mid_p(3, 12) == pytest.approx((2 * 121 + 455) / 2**15)
    assert mcnemar_mid_p(0, 0) == 1.0


def test_wilson_agrees_with_scipy() -> None:
    for successes, rows in ((0, 20), (7, 20), (20, 20), (512, 1000)):
        expected = binomtest(successes, rows).proportion_ci(0.95, method="wilson")
        assert wilson(successes, rows, 0.95) == pytest.approx((expected.low, expected.high))


def test_newcombes_interval_worked_by_hand() -> None:
    """both 20, wins 12, losses 2, neither 16: phi with the correction of 25, and Wilson's ends, by hand."""
    new_low, new_high = wilson(32, 50, 0.95)
    old_low, old_high = wilson(22, 50, 0.95)
    phi = max(20 * 16 - 12 * 2 - 25, 0) / (32 * 18 * 22 * 28) ** 0.5
    down = ((0.64 - new_low) ** 2 - 2 * phi * (0.64 - new_low) * (old_high - 0.44) + (old_high - 0.44) ** 2) ** 0.5
    up = ((new_high - 0.64) ** 2 - 2 * phi * (new_high - 0.64) * (0.44 - old_low) + (0.44 - old_low) ** 2) ** 0.5
    low, high = paired_proportions_interval(20, 12, 2, 16, 0.95)
    assert (low, high) == pytest.approx((0.2 - down, 0.2 + up))
    assert (low, high) == pytest.approx((0.05616, 0.32921), abs=1e-5)


def test_newcombes_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    shares = [0.62, 0.12, 0.08, 0.18]
    draws = rng.multinomial(400, shares, size=2_000)
    intervals = [paired_proportions_interval(int(a), int(b), int(c), int(d), 0.95) for a, b, c, d in draws]
    covered = [low <= 0.04 <= high for low, high in intervals]
    assert 0.935 <= np.mean(covered) <= 0.975


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=30, max_size=200))
def test_swapping_the_two_mirrors_the_estimate(rows: list[tuple[bool, bool]]) -> None:
    old, new = (np.array(side) for side in zip(*rows, strict=True))
    there, back = accuracy(old, new, 0.95), accuracy(new, old, 0.95)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert -1 <= there.low <= there.difference + 1e-12 and there.difference - 1e-12 <= there.high <= 1


def test_balanced_accuracy_weighs_classes_equally() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    always_no = labels == 0
    half_of_each = np.array([True] * 45 + [False] * 45 + [True] * 5 + [False] * 5)
    found = balanced_accuracy(labels, always_no, half_of_each, 0.95, seed=1)
    assert (found.champion, found.challenger) == pytest.approx((0.5, 0.5))


def test_log_loss_is_the_mean_negative_log_and_lower_is_better() -> None:
    old, new = np.array([0.5, 0.25, 0.5, 0.5]), np.array([0.8, 0.8, 0.8, 0.8])
    found = log_loss(old, new, 0.95, seed=1)
    assert found.champion == pytest.approx((3 * log(2) + log(4)) / 4)
    assert found.challenger == pytest.approx(-log(0.8))
    assert found.high < 0
    assert (found.wins, found.losses) == (4, 0)


def test_an_impossible_class_costs_a_bounded_amount() -> None:
    found = log_loss(np.full(10, 0.5), np.zeros(10), 0.95, seed=1)
    assert found.challenger == pytest.approx(-log(1e-6))


def test_the_bootstrap_agrees_with_the_exact_interval_and_repeats_itself() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 1_000)
    old, new = rng.random(1_000) < 0.7, rng.random(1_000) < 0.78
    exact, drawn = accuracy(old, new, 0.95), balanced_accuracy(labels, old, new, 0.95, seed=7)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    assert drawn == balanced_accuracy(labels, old, new, 0.95, seed=7)
