"""The statistics against scipy, scikit-learn, hand calculation and simulation."""

from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, bootstrap, permutation_test
from sklearn import metrics as reference

from modelyard_evaluator.domain.statistics import classes, values
from modelyard_evaluator.domain.statistics.classes import Predictions
from modelyard_evaluator.domain.statistics.estimate import Floats, Ints
from modelyard_evaluator.domain.statistics.proportions import (
    accuracy,
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


ROWS = 400
CLASSES = 3


def class_predictions(seed: int, skill: float) -> tuple[Ints, Predictions, Floats]:
    """Truth, the predictions of a model that is right with probability `skill`, and its scores (rows, CLASSES)."""
    truth = np.random.default_rng(7).choice(CLASSES, size=ROWS, p=[0.7, 0.2, 0.1])
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(CLASSES), size=ROWS) + skill * np.eye(CLASSES)[truth]
    scores /= scores.sum(axis=1, keepdims=True)
    return truth, Predictions(scores.argmax(axis=1), scores[np.arange(ROWS), truth]), scores


def value_predictions(seed: int, spread: float) -> tuple[Floats, Floats]:
    truth = np.random.default_rng(7).normal(50.0, 10.0, ROWS)
    return truth, truth + np.random.default_rng(seed).normal(0.0, spread, ROWS)


def test_metrics_of_classes_equal_those_of_scikit_learn() -> None:
    truth, predictions, scores = class_predictions(1, skill=0.5)
    assert classes.all_metrics(truth, predictions) == pytest.approx(
        {
            "accuracy": reference.accuracy_score(truth, predictions.predicted),
            "balanced_accuracy": reference.balanced_accuracy_score(truth, predictions.predicted),
            "macro_f1": reference.f1_score(truth, predictions.predicted, average="macro"),
            "log_loss": reference.log_loss(truth, scores),
        }
    )


def test_metrics_of_values_equal_those_of_scikit_learn() -> None:
    truth, predicted = value_predictions(1, 5.0)
    assert values.all_metrics(truth, predicted) == pytest.approx(
        {
            "mae": reference.mean_absolute_error(truth, predicted),
            "rmse": reference.root_mean_squared_error(truth, predicted),
            "r2": reference.r2_score(truth, predicted),
        }
    )


def test_a_class_that_only_the_model_knows_counts_as_wrong() -> None:
    truth = np.array([0, 0, 1, 1])
    predictions = Predictions(np.array([0, -1, 1, 1]), np.array([0.9, 0.0, 0.9, 0.9]))
    found = classes.all_metrics(truth, predictions)
    names, expected = ["other", "a", "b"], ["a", "other", "b", "b"]
    truth_names = ["a", "a", "b", "b"]
    assert found["macro_f1"] == pytest.approx(
        reference.f1_score(truth_names, expected, labels=names[1:], average="macro")
    )
    assert found["accuracy"] == 0.75


@pytest.mark.parametrize("name", classes.NAMES)
def test_estimates_of_classes_have_the_values_of_both_sides(name: str) -> None:
    truth, old, _ = class_predictions(1, skill=0.3)
    _, new, _ = class_predictions(2, skill=0.6)
    found = classes.estimate(name, truth, old, new, confidence=0.95, seed=3)
    assert found.champion == pytest.approx(classes.all_metrics(truth, old)[name])
    assert found.challenger == pytest.approx(classes.all_metrics(truth, new)[name])
    assert found.low < found.difference < found.high
    assert found == classes.estimate(name, truth, old, new, confidence=0.95, seed=3)


def scipy_reference(statistic: Any, old: Any, new: Any) -> tuple[float, tuple[float, float]]:
    """p-value and percentile interval of scipy for the same rows."""
    rng = np.random.default_rng(11)
    test = permutation_test(
        (new, old), statistic, permutation_type="samples", n_resamples=4_000, vectorized=False, rng=rng
    )
    interval = bootstrap(
        (new, old), statistic, paired=True, vectorized=False, n_resamples=2_000, method="percentile", rng=rng
    ).confidence_interval
    return test.pvalue, (interval.low, interval.high)


@pytest.mark.parametrize("name", values.NAMES)
@pytest.mark.parametrize("spread", [5.0, 4.6], ids=["equal", "better"])
def test_regressions_agree_with_scipys_permutation_test_and_bootstrap(name: str, spread: float) -> None:
    truth, old = value_predictions(1, 5.0)
    _, new = value_predictions(2, spread)
    found = values.estimate(name, truth, old, new, confidence=0.95, seed=3)
    if name == "mae":
        p_value, (low, high) = scipy_reference(
            lambda a, b: np.abs(a).mean() - np.abs(b).mean(), old - truth, new - truth
        )
    else:
        p_value, (low, high) = scipy_reference(
            lambda a, b: np.sqrt((a**2).mean()) - np.sqrt((b**2).mean()), old - truth, new - truth
        )
    assert found.p_value == pytest.approx(p_value, abs=0.04)
    if name != "r2":  # R2 falls with the error: only the p-value is that of the RMSE
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.1)
    assert found.wins + found.losses == ROWS


@pytest.mark.slow
def test_macro_f1_agrees_with_scipys_permutation_test_and_bootstrap() -> None:
    truth, old, _ = class_predictions(1, skill=0.40)
    _, new, _ = class_predictions(2, skill=0.47)
    found = classes.estimate("macro_f1", truth, old, new, confidence=0.95, seed=3)
    rng = np.random.default_rng(5)

    def f1(rows: Any, predicted: Any) -> float:
        return float(reference.f1_score(truth[rows], predicted[rows], average="macro", labels=[0, 1, 2]))

    samples = [rng.integers(0, ROWS, ROWS) for _ in range(500)]
    differences = [f1(rows, new.predicted) - f1(rows, old.predicted) for rows in samples]
    assert (found.low, found.high) == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.02)
    swaps = [rng.integers(0, 2, ROWS).astype(bool) for _ in range(500)]
    every = np.arange(ROWS)
    swapped = [
        f1(every, np.where(swap, old.predicted, new.predicted))
        - f1(every, np.where(swap, new.predicted, old.predicted))
        for swap in swaps
    ]
    expected = np.mean(np.abs(swapped) >= abs(found.difference))
    assert found.p_value == pytest.approx(expected, abs=0.06)


def test_balanced_accuracy_weighs_classes_equally() -> None:
    truth = np.array([0] * 90 + [1] * 10)
    always_0 = Predictions(np.zeros(100, dtype=np.int64), np.ones(100))
    half = Predictions(np.array([0] * 45 + [1] * 45 + [1] * 5 + [0] * 5), np.ones(100))
    found = classes.estimate("balanced_accuracy", truth, always_0, half, confidence=0.95, seed=1)
    assert (found.champion, found.challenger) == pytest.approx((0.5, 0.5))
    assert found.p_value > 0.5


def log_loss(old: list[float], new: list[float]) -> Any:
    truth = np.zeros(len(old), dtype=np.int64)
    sides = [Predictions(truth, np.array(side)) for side in (old, new)]
    return classes.estimate("log_loss", truth, *sides, confidence=0.95, seed=1)


def test_log_loss_is_the_mean_negative_log_and_lower_is_better() -> None:
    found = log_loss([0.5, 0.25, 0.5, 0.5], [0.8, 0.8, 0.8, 0.8])
    assert found.champion == pytest.approx((3 * log(2) + log(4)) / 4)
    assert found.challenger == pytest.approx(-log(0.8))
    assert found.high < 0
    assert (found.wins, found.losses) == (4, 0)


def test_an_impossible_class_costs_a_bounded_amount() -> None:
    assert log_loss([0.5] * 10, [0.0] * 10).challenger == pytest.approx(-log(1e-6))


def test_the_bootstrap_of_two_classes_agrees_with_the_exact_interval() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 1_000)
    sides = [
        Predictions(np.where(rng.random(1_000) < skill, truth, 1 - truth), np.ones(1_000)) for skill in (0.7, 0.78)
    ]
    exact = classes.estimate("accuracy", truth, *sides, confidence=0.95, seed=7)
    drawn = classes.estimate("balanced_accuracy", truth, *sides, confidence=0.95, seed=7)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.02)


@pytest.mark.slow
def test_equal_models_are_significant_at_about_the_nominal_rate() -> None:
    """Of 60 pairs of equally good regressions about 5 % have p below 0.05."""
    truth = np.random.default_rng(0).normal(size=200)
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        old, new = (truth + rng.normal(0, 1, 200) for _ in range(2))
        p_values.append(values.estimate("mae", truth, old, new, confidence=0.95, seed=seed).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.15
