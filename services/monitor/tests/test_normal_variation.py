"""Thresholds follow the normal variation of the traffic: bursts and daily cycles raise few alarms, drift still does."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modelyard_contracts import DriftKind, OffsetRange
from modelyard_monitor.detect import snapshot
from modelyard_monitor.detect.snapshot import Refused, Snapshots
from modelyard_monitor.domain.error_dispersion import INDEPENDENT
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.findings import apply
from modelyard_monitor.domain.psi import population_stability
from modelyard_monitor.domain.rises import Part
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import ModelState, VersionState
from modelyard_monitor.domain.variation import Variation
from modelyard_monitor.testing.fakes import KEYS
from modelyard_monitor.testing.streams import Rows, Served, stream_manifest

MANIFEST = stream_manifest("a")
Floats = NDArray[np.float64]


def once(values: Floats, rng: np.random.Generator) -> Floats:
    return values


def in_bursts(values: Floats, rng: np.random.Generator) -> Floats:
    """Each value several times, ten on average."""
    return np.repeat(values, rng.geometric(0.1, len(values)))[: len(values)]


def stream(
    rows: int, order: Callable[[Floats, np.random.Generator], Floats], seed: int, moved: float = 0.0, wrong: float = 0.2
) -> Rows:
    rng = np.random.default_rng(seed)
    errors = order((rng.random(rows) < wrong).astype(float), rng)
    return Rows({"a": order(rng.normal(moved, 1.0, rows), rng)}, order(rng.normal(moved, 1.0, rows), rng), None, errors)


def errors(wrong: NDArray[np.bool_]) -> Part:
    total, covers = float(wrong.sum()), OffsetRange(topic="t", partition=0, first_offset=0, last_offset=wrong.size)
    return Part(wrong.size, total, total, covers)


def joined(*parts: Rows) -> Rows:
    errors = np.concatenate([one.errors for one in parts if one.errors is not None])
    numbers = np.concatenate([one.numbers["a"] for one in parts])
    return Rows({"a": numbers}, np.concatenate([one.score for one in parts]), None, errors)


def findings(rows: Rows, rules: Rules | None = None) -> list[tuple[int, Finding]]:
    """Findings with the number of the slice that revealed them."""
    state, found = VersionState(), []
    for number, piece in enumerate(Served(MANIFEST).slices(rows)):
        found += [(number, one) for one in apply(state, piece, MANIFEST, rules or Rules())]
    return found


def test_bursts_of_one_entity_are_not_drift() -> None:
    rows = joined(*(stream(10_000, in_bursts, seed) for seed in range(5)))
    before, now = findings(rows, Rules(learns=False)), findings(rows, Rules(errors_in_bursts=True))
    print(f"alarms in 100 windows of bursts: {len(before)} with fixed thresholds, {len(now)} with learned ones")
    assert len(before) >= 50, "otherwise this stream shows nothing"
    assert len(now) <= 5


@pytest.mark.parametrize(("order", "slices"), [(once, 40), (in_bursts, 80)])
def test_drift_is_found_also_within_bursts(order: Any, slices: int) -> None:
    """Within 2,000 rows, or 4,000 of bursts of ten, which are worth 400 independent ones."""
    before, after = stream(10_000, order, 1), stream(6_000, order, 2, moved=1.5, wrong=0.6)
    found = findings(joined(before, after), Rules(errors_in_bursts=True))
    kinds = {one.kind for number, one in found if 200 <= number < 200 + 2 * slices}
    assert {DriftKind.SCORE, DriftKind.FEATURE, DriftKind.PERFORMANCE} <= kinds


def test_a_cycle_that_returns_is_reported_once_per_level() -> None:
    """Ten days of 6,000 rows, half of each moved by one standard deviation."""
    halves = [(stream(3_000, once, seed), stream(3_000, once, seed + 100, moved=1.0)) for seed in range(10)]
    rows = joined(*(half for both in halves for half in both))
    now = [number for number, one in findings(rows) if one.kind is not DriftKind.PERFORMANCE]
    before = [one for _, one in findings(rows, Rules(learns=False)) if one.kind is not DriftKind.PERFORMANCE]
    assert now and max(now) < 2 * 2 * 60, "after the second day nothing is new"
    assert len(now) * 5 < len(before)


def test_a_larger_or_a_longer_excursion_than_those_known_is_reported() -> None:
    quiet, moved = stream(5_000, once, 1), stream(2_500, once, 2, moved=1.0)
    known = joined(quiet, moved, quiet)
    start = len(known) // 100 * 2
    again = findings(joined(known, moved, quiet))
    assert not [one for number, one in again if number >= start and one.kind is DriftKind.SCORE]
    for more in (stream(2_500, once, 3, moved=2.0), stream(9_000, once, 3, moved=1.0)):
        found = findings(joined(known, more))
        assert [one for number, one in found if number >= start and one.kind is DriftKind.SCORE]


def test_the_dispersion_of_neighbouring_windows_is_that_of_their_bursts() -> None:
    rng, edges = np.random.default_rng(3), np.linspace(0.1, 0.9, 9)
    once_, repeated = Variation(), Variation()
    for _ in range(9):
        values = rng.random(500)
        once_.add(np.bincount(np.searchsorted(edges, values), minlength=10).tolist())
        repeated.add(np.bincount(np.searchsorted(edges, np.repeat(values[:100], 5)), minlength=10).tolist())
    assert once_.dispersion(1.0) < 1.6
    assert 3.0 < repeated.dispersion(1.0) < 7.5, "each value is there five times"


def test_one_drift_hardly_changes_the_dispersion() -> None:
    steady = Variation()
    for number in range(9):
        steady.add([100, 100, 100] if number < 5 else [10, 20, 270])
    assert steady.dispersion(1.0) == 1.0


def test_the_dispersion_of_the_reference_widens_the_threshold() -> None:
    plain, wide = (population_stability([100] * 10, [80, 120] * 5, dispersion) for dispersion in (1.0, 4.0))
    assert wide.psi == plain.psi
    assert wide.bias == pytest.approx(4 * plain.bias)
    assert wide.p_value > plain.p_value


def test_errors_that_come_in_bursts_have_a_dispersion_and_independent_ones_none() -> None:
    rng = np.random.default_rng(4)
    independent, bursts = INDEPENDENT, INDEPENDENT
    for _ in range(40):
        wrong = rng.random(50) < 0.2
        independent = independent.plus(errors(wrong))
        bursts = bursts.plus(errors(np.repeat(wrong[:5], 10)))
    assert independent.value == 1.0
    assert 4.0 < bursts.value < 25.0


def test_the_state_stays_small() -> None:
    variation = Variation()
    for _ in range(1_000):
        variation.add([50] * 13)
        variation.is_news(True, 0.5)
    assert len(pickle.dumps(variation)) < 1_000


def test_a_state_of_the_release_before_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fields are those of format 4; a format that this release does not read is refused."""
    state = ModelState()
    pieces = list(Served(MANIFEST).slices(stream(1_500, once, 5)))
    for piece in pieces[:20]:
        apply(state.of(piece), piece, MANIFEST, Rules())
    [version] = state.versions.values()
    for name in ("variations", "errors_rose_at", "labels_until"):
        del vars(version)[name]
    for watch in version.means.values():
        del vars(watch)["known"]
    for name in ("dispersion", "history"):
        del vars(version.error_rate)[name]
        vars(version.absolute_error).pop(name, None)
    monkeypatch.setattr(snapshot, "FORMAT", 4)
    data = Snapshots(lambda: KEYS).dump(state)
    monkeypatch.undo()
    [restored] = Snapshots(lambda: KEYS).load(data).versions.values()
    for piece in pieces[20:]:
        apply(restored, piece, MANIFEST, Rules())
    assert restored.rows == 1_500
    monkeypatch.setattr(snapshot, "FORMAT", 3)
    old = Snapshots(lambda: KEYS).dump(state)
    monkeypatch.undo()
    with pytest.raises(Refused):
        Snapshots(lambda: KEYS).load(old)
