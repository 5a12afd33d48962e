"""Few false alarms, quick true ones, the same events on a replay, and no effect of values that are not numbers."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modelyard_contracts import (
    AlertRaised,
    DriftDetected,
    FeatureSlice,
    OffsetRange,
    Severity,
    SliceSource,
    SliceSummarised,
)
from modelyard_contracts.manifest import FeatureReference, FileEntry, ModelManifest, ReferenceProfile, TrainingLineage
from modelyard_contracts.signature import Column, Output, Signature, Task, new_schema_id
from modelyard_monitor.detect import snapshot
from modelyard_monitor.detect.detector import Detector
from modelyard_monitor.detect.snapshot import Refused, Snapshots
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.findings import apply
from modelyard_monitor.domain.mean_shift import MeanWatch
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import MAX_VERSIONS, ModelState, VersionState
from modelyard_monitor.ingest.slices import slice_id
from modelyard_monitor.testing.fakes import KEYS, OTHER_KEYS, Manifests, Sent
from modelyard_monitor.testing.samples import START, digest_of_manifest
from modelyard_profiles import count_numbers, reference_numbers
from modelyard_runtime.errors import MessageTooLarge

N_FEATURES = 10
NAMES = tuple(f"f{i}" for i in range(N_FEATURES))
_RNG = np.random.default_rng(0)
REFERENCE = reference_numbers("f", _RNG.normal(size=5_000))
CLASS_REFERENCE = FeatureReference(name="classes", categories=("0", "1"), counts=(0, 0, 0, 2_500, 2_500))
SIGNATURE = Signature(
    columns=tuple(Column(name=name) for name in NAMES), output=Output(task=Task.BINARY, classes=("0", "1"))
)
MANIFEST = ModelManifest(
    model="m",
    task=Task.BINARY,
    flavour="sklearn",
    files=(FileEntry(path="m", digest="sha256:" + "0" * 64, size_bytes=1),),
    signature=SIGNATURE,
    feature_schema_id=new_schema_id(SIGNATURE),
    reference=ReferenceProfile(
        rows=5_000,
        features=tuple(FeatureReference(name=n, edges=REFERENCE.edges, counts=REFERENCE.counts) for n in NAMES),
        score=FeatureReference(name="score", edges=REFERENCE.edges, counts=REFERENCE.counts),
        classes=CLASS_REFERENCE,
        error_rate=0.2,
        mean_absolute_error=0.8,
    ),
    training=TrainingLineage(recipe="test"),
)
DIGEST = digest_of_manifest(MANIFEST)


def part(name: str, values: np.ndarray[Any, Any], missing: int = 0) -> FeatureSlice:
    gone = np.zeros(values.size, dtype=bool)
    gone[:missing] = True
    counts = count_numbers(values, REFERENCE.edges, gone)
    finite = values[np.isfinite(values) & ~gone]
    return FeatureSlice(
        name=name,
        counts=tuple(int(c) for c in counts),
        finite=finite.size,
        total=float(finite.sum()),
        total_squares=float((finite**2).sum()),
    )


def piece(index: int, rows: int, **fields: Any) -> SliceSummarised:
    covers = OffsetRange(topic="t", partition=index % 4, first_offset=index * rows, last_offset=(index + 1) * rows - 1)
    given: dict[str, Any] = {
        "event_id": slice_id("m", 1, DIGEST, "stable", SliceSource.PREDICTIONS, covers),
        "occurred_at": START + timedelta(seconds=index),
        "model": "m",
        "model_version": 1,
        "model_digest": DIGEST,
        "variant": "stable",
        "source": SliceSource.PREDICTIONS,
        "covers": covers,
        "window_start": START + timedelta(seconds=index),
        "window_end": START + timedelta(seconds=index + 1),
        "rows": rows,
    }
    return SliceSummarised(**{**given, **fields})


def predictions(index: int, rng: np.random.Generator, rows: int = 100, **shifts: float) -> SliceSummarised:
    """A slice of standard normal features and score, shifted by standard deviations; `positive`: share of class 1."""
    features = tuple(part(name, rng.normal(shifts.get(name, 0.0), size=rows)) for name in NAMES)
    positive = int(rng.binomial(rows, shifts.get("positive", 0.5)))
    return piece(
        index,
        rows,
        features=features,
        score=part("score", rng.normal(shifts.get("score", 0.0), size=rows)),
        classes=FeatureSlice(name="classes", counts=(0, 0, 0, rows - positive, positive)),
    )


def labels(index: int, outcomes: Sequence[int] | NDArray[np.bool_]) -> SliceSummarised:
    rows = len(outcomes)
    covers = OffsetRange(topic="l", partition=0, first_offset=index * rows, last_offset=(index + 1) * rows - 1)
    return piece(index, rows, source=SliceSource.LABELS, covers=covers, outcomes=tuple(int(o) for o in outcomes))


def far(index: int, errors: NDArray[np.float64]) -> SliceSummarised:
    """A slice of labels of a regression."""
    return labels(index, [0] * errors.size).model_copy(
        update={"outcomes": (), "absolute_errors": tuple(np.abs(errors).tolist())}
    )


def run(state: VersionState, pieces: Iterator[SliceSummarised], rules: Rules | None = None) -> list[Finding]:
    return [found for one in pieces for found in apply(state, one, MANIFEST, rules or Rules())]


@pytest.mark.slow
def test_where_nothing_moves_the_false_alarms_stay_in_the_budget() -> None:
    """Budget: one false drift per 100,000 rows of ten features, a score and classes, and per 100,000 labels."""
    rng, state = np.random.default_rng(10), VersionState()
    rows = 200_000
    found = run(state, (predictions(i, rng) for i in range(rows // 100)))
    wrong = run(state, (labels(i, rng.uniform(size=100) < 0.2) for i in range(rows // 100)))
    assert len(found) <= 2, [one.reason for one in found]
    assert len(wrong) <= 2, [one.reason for one in wrong]


def test_where_no_error_grows_the_false_alarms_of_a_regression_stay_in_the_budget() -> None:
    """Errors of a normal and of a heavy-tailed regression; the reference is their true mean."""
    rng = np.random.default_rng(12)
    normal = run(VersionState(), (far(i, rng.normal(size=100)) for i in range(2_000)))
    heavy = run(VersionState(), (far(i, rng.laplace(scale=0.8, size=100)) for i in range(2_000)))
    assert len(normal) <= 2, [one.reason for one in normal]
    assert len(heavy) <= 2, [one.reason for one in heavy]


def test_a_rise_of_the_absolute_error_by_a_third_is_found_within_600_labels_nine_times_of_ten() -> None:
    seen = 0
    for seed in range(20):
        rng, state = np.random.default_rng(seed), VersionState()
        run(state, (far(i, rng.normal(size=50)) for i in range(40)))
        found = run(state, (far(40 + i, rng.normal(scale=1.34, size=50)) for i in range(12)))
        seen += any(one.subject == "mean_absolute_error" for one in found)
    assert seen >= 18


def test_a_falling_absolute_error_is_no_alarm() -> None:
    rng, state = np.random.default_rng(0), VersionState()
    run(state, (far(i, rng.normal(size=50)) for i in range(40)))
    assert run(state, (far(40 + i, rng.normal(scale=0.3, size=50)) for i in range(60))) == []


def test_an_absolute_error_that_is_twice_the_reference_is_critical() -> None:
    rng = np.random.default_rng(1)
    found = run(VersionState(), (far(i, rng.normal(scale=2.0, size=50)) for i in range(20)))
    assert Severity.CRITICAL in {one.severity for one in found}


def test_a_shift_of_predicted_classes_is_found_within_three_windows_nine_times_of_ten() -> None:
    seen = 0
    for seed in range(20):
        rng, state = np.random.default_rng(seed), VersionState()
        run(state, (predictions(i, rng) for i in range(20)))
        found = run(state, (predictions(20 + i, rng, positive=0.75) for i in range(15)))
        seen += any((one.subject, one.severity) == ("classes", Severity.WARNING) for one in found)
    assert seen >= 18


def test_a_shift_of_half_a_standard_deviation_is_found_within_three_windows_nine_times_of_ten() -> None:
    seen = 0
    for seed in range(20):
        rng, state = np.random.default_rng(seed), VersionState()
        run(state, (predictions(i, rng) for i in range(20)))
        found = run(state, (predictions(20 + i, rng, f3=0.5) for i in range(15)))
        seen += any(one.subject == "f3" for one in found)
    assert seen >= 18


def test_a_quarter_of_a_standard_deviation_is_found_within_2500_rows_nine_times_of_ten() -> None:
    seen = 0
    for seed in range(30):
        rng, watch = np.random.default_rng(seed), MeanWatch()
        shifts = []
        for block in range(70):
            watch.add(part("f", rng.normal(0.0 if block < 45 else 0.25, size=100)))
            shifts.append(watch.close(block, 100))
        seen += any(shifts[45:])
    assert seen >= 27


def test_a_rise_of_the_error_rate_is_found_within_600_labels_nine_times_of_ten() -> None:
    seen = 0
    for seed in range(20):
        rng, state = np.random.default_rng(seed), VersionState()
        run(state, (labels(i, rng.uniform(size=50) < 0.2) for i in range(40)))
        found = run(state, (labels(40 + i, rng.uniform(size=50) < 0.32) for i in range(12)))
        seen += any(one.subject == "error_rate" for one in found)
    assert seen >= 18


def test_a_falling_error_rate_is_no_alarm() -> None:
    rng, state = np.random.default_rng(0), VersionState()
    run(state, (labels(i, rng.uniform(size=50) < 0.2) for i in range(40)))
    assert run(state, (labels(40 + i, rng.uniform(size=50) < 0.02) for i in range(60))) == []


def test_an_input_that_moves_alone_is_info_and_with_the_score_a_warning() -> None:
    rng, state = np.random.default_rng(1), VersionState()
    alone = run(state, (predictions(i, rng, f0=1.0) for i in range(20)))
    assert {one.severity for one in alone if one.subject == "f0"} == {Severity.INFO}

    rng, state = np.random.default_rng(1), VersionState()
    both = run(state, (predictions(i, rng, f0=1.0, score=1.0) for i in range(60)))
    assert Severity.WARNING in {one.severity for one in both if one.subject == "f0"}
    assert {one.severity for one in both if one.subject == "score"} == {Severity.WARNING}


def test_a_rise_of_ten_points_is_critical() -> None:
    rng, state = np.random.default_rng(1), VersionState()
    found = run(state, (labels(i, rng.uniform(size=50) < 0.45) for i in range(20)))
    assert Severity.CRITICAL in {one.severity for one in found}


def test_a_finding_is_reported_again_only_after_enough_rows_or_when_it_is_much_worse() -> None:
    rng, state = np.random.default_rng(3), VersionState()
    found = [
        (index, one)
        for index in range(80)
        for one in apply(state, predictions(index, rng, f0=1.0), MANIFEST, Rules())
        if one.subject == "f0"
    ]
    moments = [index for index, _ in found]
    assert len(moments) >= 2
    assert all(later - earlier >= 20 for earlier, later in itertools.pairwise(moments))

    rng = np.random.default_rng(4)
    worse = run(state, (predictions(80 + i, rng, f0=3.0) for i in range(5)))
    assert any(one.subject == "f0" for one in worse)


def test_values_that_are_not_numbers_raise_an_alert_and_do_not_disable_the_detectors() -> None:
    rng, state = np.random.default_rng(5), VersionState()
    run(state, (predictions(i, rng) for i in range(20)))

    def broken(index: int) -> SliceSummarised:
        values = rng.normal(size=100)
        values[:40] = np.nan
        values[40:50] = np.inf
        good = predictions(index, rng)
        return good.model_copy(update={"features": (part("f0", values), *good.features[1:])})

    alerts = run(state, (broken(20 + i) for i in range(10)))
    assert "non_finite_values_high" in {one.alert for one in alerts}

    infinite = FeatureSlice.model_construct(
        name="f0", counts=(0,) * 13, finite=100, total=float("inf"), total_squares=float("nan")
    )
    one = predictions(30, rng)
    run(state, iter([one.model_copy(update={"features": (infinite, *one.features[1:])})]))
    later = run(state, (predictions(31 + i, rng, f0=1.5) for i in range(40)), Rules(rearm_rows=0))
    assert any(found.subject == "f0" and found.detector == "adwin" for found in later)


def test_failed_requests_raise_a_critical_alert() -> None:
    found = run(VersionState(), iter([piece(0, 60, errors=0), piece(1, 60, errors=30)]))
    [alert] = found
    assert (alert.alert, alert.severity, alert.statistic) == ("error_rate_high", Severity.CRITICAL, 0.25)


def test_labels_that_stop_coming_raise_an_alert_once() -> None:
    state = VersionState()
    run(state, iter([labels(0, [0, 1])]))
    found = run(state, (piece(i, 500) for i in range(12)))
    assert [one.alert for one in found] == ["labels_missing"]


def test_the_window_of_a_finding_names_the_offsets_it_covers() -> None:
    rng, state = np.random.default_rng(7), VersionState()
    [found] = [one for one in run(state, (predictions(i, rng, f0=2.0) for i in range(10))) if one.detector == "psi"]
    assert [(c.partition, c.first_offset, c.last_offset) for c in found.covers] == [
        (0, 800, 899),
        (1, 500, 999),
        (2, 600, 699),
        (3, 700, 799),
    ]
    assert sum(found.current_counts) == 500


async def test_a_replay_sends_nothing_new_and_leaves_the_state_as_it_was() -> None:
    detector, table, sent = _detector()
    rng = np.random.default_rng(8)
    slices = [predictions(i, rng, f0=1.0, score=1.0) for i in range(30)] + [labels(i, [1] * 50) for i in range(20)]
    for offset, one in enumerate(slices):
        await detector.handle(one, (0, offset))
    sent_once, states = list(sent.messages), dict(table)
    assert {type(m) for m in sent_once} == {DriftDetected}

    for offset, one in enumerate(slices):
        await detector.handle(one, (0, len(slices) + offset))
    assert sent.messages == sent_once
    assert table == states


async def test_a_lost_state_leads_to_the_same_events_under_the_same_ids() -> None:
    """A crash after the send and before the write: readers drop the repeats by their id."""
    rng = np.random.default_rng(9)
    slices = [predictions(i, rng, f0=1.0, score=1.0) for i in range(30)]
    first, second = _detector(), _detector()
    for detector, _, _ in (first, second):
        for offset, one in enumerate(slices):
            await detector.handle(one, (0, offset))
    assert first[2].messages == second[2].messages
    assert len({m.event_id for m in first[2].messages}) == len(first[2].messages)


async def test_an_event_that_is_too_large_for_its_topic_is_sent_without_its_sql() -> None:
    """Otherwise the worker would exit on it after every restart."""

    class Small(Sent):
        async def send(self, message: Any, key: str | None = None) -> None:
            if message.sql:
                raise MessageTooLarge("2 MB")
            await super().send(message, key)

    sent = Small()
    detector, _, _ = _detector(sent)
    rng = np.random.default_rng(8)
    for offset in range(30):
        await detector.handle(predictions(offset, rng, score=1.0), (0, offset))
    assert {type(m) for m in sent.messages} == {DriftDetected}


async def test_a_state_of_another_key_is_refused_and_the_model_starts_cold() -> None:
    detector, table, _ = _detector()
    rng = np.random.default_rng(9)
    table[b"m"] = Snapshots(lambda: OTHER_KEYS).dump(ModelState())
    await detector.handle(predictions(0, rng), (0, 0))
    assert Snapshots(lambda: KEYS).load(table[b"m"]).versions


def test_a_tampered_or_foreign_state_is_never_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Snapshots(lambda: KEYS)
    good = mine.dump(ModelState())
    with pytest.raises(Refused, match="signature"):
        mine.load(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(Refused, match="signature"):
        mine.load(b"")
    monkeypatch.setattr(snapshot, "FORMAT", 0)
    other = Snapshots(lambda: KEYS)
    with pytest.raises(Refused, match="another release"):
        mine.load(other.dump(ModelState()))


def test_a_restored_detector_continues_exactly_as_the_saved_one() -> None:
    rng, state, snapshots = np.random.default_rng(11), ModelState(), Snapshots(lambda: KEYS)
    slices = [predictions(i, rng, score=0.0 if i < 60 else 0.6) for i in range(120)]
    live = [found for one in slices for found in apply(state.of(one), one, MANIFEST, Rules())]

    restored, again = ModelState(), []
    for one in slices:
        restored = snapshots.load(snapshots.dump(restored))
        again += apply(restored.of(one), one, MANIFEST, Rules())
    assert [one.reason for one in again] == [one.reason for one in live]
    assert live


def test_a_model_keeps_a_limited_number_of_versions() -> None:
    state = ModelState()
    for version in range(MAX_VERSIONS + 3):
        one = piece(version, 10, model_version=version)
        apply(state.of(one), one, None, Rules())
    assert len(state.versions) == MAX_VERSIONS
    assert min(key[0] for key in state.versions) == 3


def _detector(sender: Sent | None = None) -> tuple[Detector, dict[bytes, bytes], Sent]:
    table: dict[bytes, bytes] = {}
    sent = sender or Sent()
    manifests = Manifests({("m", 1): MANIFEST})
    return Detector(table, Snapshots(lambda: KEYS), manifests, sent, Rules(), "ml"), table, sent


def test_alerts_are_events_too() -> None:
    from modelyard_monitor.domain.evidence import event_of

    one = piece(1, 200, errors=100)
    [found] = apply(VersionState(), one, None, Rules())
    event = event_of(found, one, None, "ml")
    assert isinstance(event, AlertRaised)
    assert event.alert == "error_rate_high"
    assert event.cause_id == one.event_id
