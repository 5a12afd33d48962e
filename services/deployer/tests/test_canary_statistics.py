"""The analysis, by simulation and by hand: how often a healthy canary is aborted, and how fast a sick one is."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.analysis import Outcome, analyse
from modelyard_deployer.domain.counts import Arm, Stratum
from modelyard_deployer.domain.sequences import MeanPair, Pair, lower_bound, mean_difference, rate_difference

LOOKS, PER_LOOK, RUNS = 30, 100, 400
POLICY = RolloutPolicy(error_rate_margin=0.0, min_step_s=1e9)


def aborted_at(old_rate: float, new_rate: float, *, seed: int, policy: RolloutPolicy = POLICY) -> list[int | None]:
    """The look at which each of RUNS canaries is aborted; None when it is not, within 30 looks of 100 answers each."""
    rng = np.random.default_rng(seed)
    old = rng.binomial(PER_LOOK, old_rate, (RUNS, LOOKS)).cumsum(axis=1)
    new = rng.binomial(PER_LOOK, new_rate, (RUNS, LOOKS)).cumsum(axis=1)
    return [_first_abort(policy, old[run], new[run]) for run in range(RUNS)]


def _first_abort(
    policy: RolloutPolicy, old: "np.typing.NDArray[np.int64]", new: "np.typing.NDArray[np.int64]"
) -> int | None:
    for look in range(LOOKS):
        rows = PER_LOOK * (look + 1)
        stratum = Stratum(new=Arm(rows, int(new[look])), old=Arm(rows, int(old[look])))
        if analyse(policy, (), stratum, step_age_s=float(look)).outcome is Outcome.ABORT:
            return look + 1
    return None


@pytest.mark.parametrize("rate", [0.002, 0.008, 0.03, 0.09, 0.12, 0.3])
def test_a_healthy_canary_is_aborted_no_more_often_than_alpha_over_thirty_looks(rate: float) -> None:
    wrong = [look for look in aborted_at(rate, rate, seed=1) if look]
    assert len(wrong) / RUNS <= POLICY.alpha


def test_five_times_the_errors_are_caught_within_a_few_looks() -> None:
    looks = aborted_at(0.008, 0.04, seed=2)
    assert None not in looks
    assert np.median([look for look in looks if look]) <= 6


def test_with_the_default_margin_a_sick_canary_is_still_caught_and_one_at_the_margin_is_left_alone() -> None:
    policy = RolloutPolicy(min_step_s=1e9)
    caught = [look for look in aborted_at(0.008, 0.04, seed=3, policy=policy) if look]
    assert len(caught) / RUNS > 0.95
    at_margin = [look for look in aborted_at(0.008, 0.018, seed=4, policy=policy) if look]
    assert len(at_margin) / RUNS <= policy.alpha


def test_a_repeated_z_test_would_have_failed_this_suite() -> None:
    """The test's own test: peeking with a fixed bound of 1.645 aborts far more healthy canaries than alpha."""
    rng = np.random.default_rng(5)
    old = rng.binomial(PER_LOOK, 0.008, (RUNS, LOOKS)).cumsum(axis=1)
    new = rng.binomial(PER_LOOK, 0.008, (RUNS, LOOKS)).cumsum(axis=1)
    rows = PER_LOOK * np.arange(1, LOOKS + 1)
    pooled = (old + new) / (2 * rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (new - old) / rows / np.sqrt(pooled * (1 - pooled) * 2 / rows)
    assert (z > 1.645).any(axis=1).mean() > 0.15


def test_the_bound_is_the_published_formula_worked_by_hand() -> None:
    [pair] = [Pair(new_rows=1000, new_events=40, old_rows=1000, old_events=8)]
    difference = rate_difference([pair])
    assert difference is not None
    assert difference.value == pytest.approx(0.032)
    new, old = 41 / 1002, 9 / 1002
    error = sqrt(new * (1 - new) / 1000 + old * (1 - old) / 1000)
    assert difference.standard_error == pytest.approx(error)
    assert difference.rows == pytest.approx(2000)
    alpha = 0.025
    rho2 = (-2 * log(2 * alpha) + log(-2 * log(2 * alpha) + 1)) / 2000
    radius = error * sqrt(2 * (2000 * rho2 + 1) / (2000 * rho2) * log(1 + sqrt(2000 * rho2 + 1) / (2 * alpha)))
    assert lower_bound(difference, alpha) == pytest.approx(0.032 - radius)


def test_strata_keep_a_changing_world_from_looking_like_a_fault_of_the_canary() -> None:
    """Errors rise for both while the canary's share rises: pooled it looks worse, step by step it is equal."""
    steps = [Pair(50, 1, 950, 19), Pair(500, 50, 500, 50)]
    difference = rate_difference(steps)
    assert difference is not None
    assert difference.value == pytest.approx(0.0)
    pooled = rate_difference([Pair(550, 51, 1450, 69)])
    assert pooled is not None
    assert pooled.value > 0.04


@given(st.integers(50, 5000), st.integers(50, 5000), st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.15))
def test_the_bound_lies_below_the_estimate_and_falls_with_alpha(
    new: int, old: int, new_rate: float, old_rate: float, alpha: float
) -> None:
    """For 100 rows and more. Where a bound is tightest depends on alpha: past 0.16 two of few rows may cross."""
    difference = rate_difference([Pair(new, round(new * new_rate), old, round(old * old_rate))])
    assert difference is not None
    assert lower_bound(difference, alpha / 2) < lower_bound(difference, alpha) < difference.value


def test_no_evidence_is_not_a_pass() -> None:
    assert analyse(RolloutPolicy(), (), None, 1e6).outcome is Outcome.HOLD
    assert analyse(RolloutPolicy(), (), Stratum(), 1e6).outcome is Outcome.HOLD


def test_the_hard_limit_counts_from_fifty_answers_on() -> None:
    policy = RolloutPolicy()
    assert analyse(policy, (), Stratum(new=Arm(49, 49)), 1.0).outcome is Outcome.HOLD
    assert analyse(policy, (), Stratum(new=Arm(50, 6)), 1.0).outcome is Outcome.ABORT
    assert analyse(policy, (), Stratum(new=Arm(50, 5)), 1.0).outcome is Outcome.HOLD


def test_a_canary_that_answers_wrongly_is_aborted_once_labels_say_so() -> None:
    bad = Stratum(
        new=Arm(answers=2000, errors=0, labelled=1500, wrong=600),
        old=Arm(answers=2000, errors=0, labelled=1500, wrong=300),
    )
    look = analyse(RolloutPolicy(), (), bad, 100.0)
    assert look.outcome is Outcome.ABORT
    assert "wrong predictions" in look.reason
    assert look.evidence["wrong_rate_difference"] == pytest.approx(0.2)


def test_what_looks_worse_by_chance_alone_holds_rather_than_advances() -> None:
    unclear = Stratum(new=Arm(answers=200, errors=5), old=Arm(answers=2000, errors=10))
    look = analyse(RolloutPolicy(), (), unclear, 100.0)
    assert look.outcome is Outcome.HOLD
    assert "not yet significant" in look.reason


def regression(new_mean: float, rows: int, *, seed: int) -> Stratum:
    """Absolute errors of two arms: exponential, the stable one with mean 2."""
    rng = np.random.default_rng(seed)
    new, old = rng.exponential(new_mean, rows), rng.exponential(2.0, rows)
    return Stratum(
        new=Arm(rows, 0, values=rows, mean_error=float(new.mean()), error_sd=float(new.std(ddof=1))),
        old=Arm(rows, 0, values=rows, mean_error=float(old.mean()), error_sd=float(old.std(ddof=1))),
    )


def test_a_regression_with_half_as_much_error_again_is_aborted_and_an_equal_one_is_not() -> None:
    policy = RolloutPolicy(min_step_s=0)
    worse = [analyse(policy, (), regression(3.0, 1_000, seed=seed), 9.0) for seed in range(100)]
    equal = [analyse(policy, (), regression(2.0, 1_000, seed=seed), 9.0) for seed in range(100)]
    assert sum(one.outcome is Outcome.ABORT for one in worse) > 95
    assert sum(one.outcome is Outcome.ABORT for one in equal) <= 100 * policy.alpha
    assert "mean absolute error is +1" in worse[0].reason


def test_the_margin_of_a_regression_is_a_share_of_the_stable_error() -> None:
    policy = RolloutPolicy(min_step_s=0, error_margin=0.8)
    outcomes = [analyse(policy, (), regression(3.0, 1_000, seed=seed), 9.0).outcome for seed in range(50)]
    assert Outcome.ABORT not in outcomes


def test_the_difference_of_means_is_the_hand_calculation() -> None:
    """Weights 100*100/200 = 50 and 300*100/400 = 75; differences 1 and 3: (50*1 + 75*3) / 125 = 2.2."""
    first = MeanPair(100, 3.0, 1.0, 100, 2.0, 2.0)
    second = MeanPair(300, 5.0, 3.0, 100, 2.0, 1.0)
    found = mean_difference([first, second])
    assert found is not None
    assert found.value == pytest.approx(2.2)
    variance = 50**2 * (1 / 100 + 4 / 100) + 75**2 * (9 / 300 + 1 / 100)
    assert found.standard_error == pytest.approx(sqrt(variance) / 125)
    assert mean_difference([MeanPair(1, 1.0, 0.0, 100, 2.0, 1.0)]) is None


def test_errors_that_hit_both_arms_alike_do_not_abort_the_canary() -> None:
    """For example a store of features that does not answer: 15 % of both arms fail."""
    both = Stratum(new=Arm(answers=200, errors=30), old=Arm(answers=2_000, errors=300))
    alone = Stratum(new=Arm(answers=200, errors=30), old=Arm(answers=2_000, errors=20))
    assert analyse(RolloutPolicy(min_step_s=0), (), both, 9.0).outcome is not Outcome.ABORT
    assert analyse(RolloutPolicy(min_step_s=0), (), alone, 9.0).outcome is Outcome.ABORT
