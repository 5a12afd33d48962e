"""The numbers of an alarm agree with other libraries and with simulation."""

import numpy as np
import pytest

from modelyard_monitor.domain.error_rate import rise_p_value
from modelyard_monitor.domain.psi import IncomparableWindows, adjusted, population_stability
from modelyard_monitor.store.clickhouse import ClickHouse


def test_psi_of_equal_shares_is_zero_and_its_p_value_one() -> None:
    found = population_stability([100, 100, 100], [100, 100, 100])
    assert found.psi == pytest.approx(0)
    assert found.p_value == pytest.approx(1)
    assert (found.reference_rows, found.current_rows, found.bins) == (300, 300, 3)


def test_psi_is_symmetric_and_bins_empty_on_both_sides_do_not_count() -> None:
    left, right = [50, 30, 20, 0], [20, 30, 50, 0]
    assert population_stability(left, right).psi == pytest.approx(population_stability(right, left).psi)
    assert population_stability(left, right).bins == 3


def test_psi_of_a_hand_calculation() -> None:
    p, q = np.array([90.5, 10.5]) / 101, np.array([50.5, 50.5]) / 101
    expected = float(((q - p) * np.log(q / p)).sum())
    assert population_stability([90, 10], [50, 50]).psi == pytest.approx(expected)


def test_windows_without_rows_have_no_answer() -> None:
    with pytest.raises(IncomparableWindows):
        population_stability([1, 2], [0, 0])
    with pytest.raises(IncomparableWindows):
        population_stability([1, 2], [1, 2, 3])


@pytest.mark.parametrize(("alpha", "low", "high"), [(0.05, 0.03, 0.07), (0.01, 0.004, 0.02)])
def test_the_p_value_is_calibrated_where_nothing_moved(alpha: float, low: float, high: float) -> None:
    rng = np.random.default_rng(1)
    shares = np.full(10, 0.1)
    p = [
        population_stability(rng.multinomial(5_000, shares), rng.multinomial(500, shares)).p_value for _ in range(3_000)
    ]
    assert low <= np.mean(np.array(p) <= alpha) <= high


def test_the_test_sees_a_quarter_of_a_standard_deviation_in_a_window_of_500() -> None:
    rng = np.random.default_rng(2)
    reference = rng.normal(size=10_000)
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    counts = np.bincount(np.searchsorted(edges, reference, side="right"), minlength=10)
    seen = 0
    for _ in range(200):
        bins = np.searchsorted(edges, rng.normal(0.25, size=500), side="right")
        seen += population_stability(counts, np.bincount(bins, minlength=10)).p_value <= 0.05
    assert seen >= 180


def test_q_values_agree_with_scipy() -> None:
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(0).uniform(size=40) ** 3
    assert adjusted(list(p)) == pytest.approx(list(false_discovery_control(p)))
    assert adjusted([]) == []


def test_the_p_value_of_a_rise_agrees_with_a_hand_calculation() -> None:
    # pooled 0.25, spread sqrt(.25 * .75 * (1/500 + 1/500)) = 0.027386; z = 0.1 / 0.027386 = 3.6515
    assert rise_p_value(0.2, 500, 0.3, 500) == pytest.approx(1.304e-4, rel=1e-2)
    assert rise_p_value(0.3, 500, 0.2, 500) > 0.99


@pytest.mark.slow
def test_our_adwin_is_rivers() -> None:
    from river.drift import ADWIN

    from modelyard_monitor.domain.adwin import Adwin

    rng = np.random.default_rng(4)
    stream = np.concatenate([rng.normal(m, size=700) for m in (0, 1, 0.2, 3)])
    for clock in (1, 32):
        ours, rivers = Adwin(clock), ADWIN(clock=clock)  # type: ignore[no-untyped-call]  # River ships no types
        for value in stream:
            ours.update(float(value))
            rivers.update(float(value))  # type: ignore[no-untyped-call]
            assert (ours.drift_detected, ours.width, ours.estimation) == (
                rivers.drift_detected,
                rivers.width,
                rivers.estimation,
            )


@pytest.mark.parametrize("seed", range(6))
def test_the_view_of_psi_gives_what_the_detector_gives(clickhouse: ClickHouse, seed: int) -> None:
    """Two implementations of one definition, on random counts: sparse, empty on one side or on both, or huge."""
    rng, expected = np.random.default_rng(seed), {}
    for feature in range(12):
        bins = int(rng.integers(2, 14))
        scale = float(rng.choice([3, 100, 1e9]))
        left, right = (rng.poisson(scale * rng.uniform(size=bins) ** 4).astype(np.int64) for _ in range(2))
        left[0] += 1
        right[-1] += 1
        where = f"'m', 1, 'd', 'feature', 'f{feature}'"
        old = ", ".join(f"({where}, {bin_ - 3}, {n})" for bin_, n in enumerate(left.tolist()))
        new = ", ".join(f"({where}, {bin_ - 3}, {n}, 'stable', now())" for bin_, n in enumerate(right.tolist()) if n)
        columns = "model, model_version, model_digest, kind, feature, bin, n"
        clickhouse.rows(f"INSERT INTO {{db}}.reference_bins ({columns}) VALUES {old}")
        clickhouse.rows(f"INSERT INTO {{db}}.feature_bins ({columns}, variant, minute) VALUES {new}")
        expected[f"f{feature}"] = population_stability(left, right)
    rows = clickhouse.rows("SELECT feature, psi, expected_without_drift, bins FROM {db}.v_drift_psi")
    assert {row["feature"] for row in rows} == set(expected)
    for row in rows:
        found = expected[row["feature"]]
        assert (row["psi"], row["expected_without_drift"]) == pytest.approx(
            (found.psi, found.bias), rel=1e-9, abs=1e-12
        )
        assert row["bins"] == found.bins
