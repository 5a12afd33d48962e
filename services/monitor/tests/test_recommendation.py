"""Every finding names the action that it expects to pay."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelyard_contracts import AlertRaised, DriftDetected, DriftKind, Recommendation, Severity
from modelyard_monitor.domain.evidence import event_of
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.findings import apply
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import ModelState
from modelyard_monitor.testing.streams import Rows, Served, stream_manifest
from modelyard_profiles import reference_categories

NAMES = ("a", "b", "c")
MANIFEST = stream_manifest(*NAMES, classes=reference_categories("classes", {"0": 250, "1": 250}))
IN_CONTROL = 3_000
"""Rows before the change."""


def rows(
    count: int, *, seed: int = 1, wrong: float | None = 0.2, score: float = 0.0, missing: float = 0.0, **shifts: float
) -> Rows:
    """Standard normal features and scores, moved by standard deviations; wrong: error rate, None without labels."""
    rng = np.random.default_rng(seed)
    numbers = {name: rng.normal(shifts.get(name, 0.0), size=count) for name in NAMES}
    numbers["a"][rng.random(count) < missing] = np.nan
    errors = None if wrong is None else (rng.random(count) < wrong).astype(float)
    return Rows(numbers, rng.normal(score, size=count), rng.integers(0, 2, count).astype(str).astype(object), errors)


def joined(*parts: Rows) -> Rows:
    """One part after the other; labels stop with the first part that has none."""
    labelled = [one.errors for one in parts if one.errors is not None]
    return Rows(
        {name: np.concatenate([one.numbers[name] for one in parts]) for name in NAMES},
        np.concatenate([one.score for one in parts]),
        np.concatenate([one.classes for one in parts if one.classes is not None]),
        np.concatenate(labelled) if labelled else None,
    )


def found(served: Served, stream: Rows, state: ModelState, first: int = 0) -> Iterator[DriftDetected | AlertRaised]:
    """The events of a stream."""
    for piece in served.slices(stream, first):
        version, before = state.of(piece), state.errors_before(piece)
        findings: list[Finding] = apply(version, piece, MANIFEST, Rules(), before, state.labels)
        yield from (event_of(one, piece, MANIFEST, "db") for one in findings)


def advice(served: Served, after: Rows, kind: DriftKind, before: Rows | None = None) -> list[tuple[str, Severity]]:
    """Recommendation and severity of every drift of a kind after the change; all events must have a reason."""
    stream = joined(before if before is not None else rows(IN_CONTROL, seed=2), after)
    events = list(found(served, stream, ModelState()))
    assert all(one.recommendation and one.recommendation_reason for one in events)
    return [(one.recommendation, one.severity) for one in events if isinstance(one, DriftDetected) and one.kind is kind]


def test_a_rise_of_the_error_recommends_a_retraining() -> None:
    assert set(advice(Served(MANIFEST), rows(2_000, wrong=0.5), DriftKind.PERFORMANCE)) == {
        (Recommendation.RETRAIN, Severity.CRITICAL)
    }


def test_a_moved_score_whose_labels_show_no_rise_is_information_only() -> None:
    found = advice(Served(MANIFEST), rows(2_000, score=1.5), DriftKind.SCORE)
    assert found[-1] == (Recommendation.NOTHING, Severity.INFO)
    assert Recommendation.RETRAIN not in {one for one, _ in found}


def test_a_moved_score_waits_for_labels_that_are_on_their_way() -> None:
    found = advice(Served(MANIFEST, label_delay_rows=1_500), rows(1_200, score=1.5), DriftKind.SCORE)
    assert {one for one, _ in found} == {Recommendation.WAIT_FOR_LABELS}


def test_a_moved_score_of_a_model_without_any_label_asks_for_labels() -> None:
    before = rows(IN_CONTROL, seed=2, wrong=None)
    found = advice(Served(MANIFEST), rows(2_000, score=1.5, wrong=None), DriftKind.SCORE, before)
    assert set(found) == {(Recommendation.CHECK_LABELS, Severity.WARNING)}


def test_a_moved_score_of_a_version_without_labels_recommends_a_retraining_if_the_one_before_had_some() -> None:
    state, first = ModelState(), Served(MANIFEST)
    list(found(first, rows(2_000), state))
    second = replace(first, version=2)
    stream = joined(rows(IN_CONTROL, seed=2, wrong=None), rows(2_000, score=1.5, wrong=None))
    events: list[Any] = list(found(second, stream, state, first=2_000))
    assert {one.recommendation for one in events if one.kind is DriftKind.SCORE} == {Recommendation.RETRAIN}


def test_a_moved_score_whose_labels_are_late_recommends_a_retraining() -> None:
    found = advice(Served(MANIFEST, label_delay_rows=2_800), rows(2_000, score=1.5), DriftKind.SCORE)
    assert set(found) == {(Recommendation.RETRAIN, Severity.WARNING)}


def test_a_moved_score_with_errors_that_rose_recommends_a_retraining() -> None:
    found = advice(Served(MANIFEST), rows(4_000, score=1.5, wrong=0.5), DriftKind.SCORE)
    assert found[-1] == (Recommendation.RETRAIN, Severity.WARNING)


def test_inputs_that_move_alone_need_nothing() -> None:
    found = advice(Served(MANIFEST), rows(2_000, a=1.0, b=1.0), DriftKind.FEATURE)
    assert set(found) == {(Recommendation.NOTHING, Severity.INFO)}


def test_one_input_that_moves_with_the_score_is_to_be_checked() -> None:
    found = advice(Served(MANIFEST), rows(4_000, a=1.5, score=1.5), DriftKind.FEATURE)
    assert Recommendation.CHECK_INPUT in {one for one, _ in found}


def test_errors_that_rise_with_missing_values_point_to_the_input() -> None:
    found = advice(Served(MANIFEST), rows(3_000, missing=0.5, wrong=0.5), DriftKind.PERFORMANCE)
    assert Recommendation.CHECK_INPUT in {one for one, _ in found}


@pytest.mark.parametrize(("earlier_error", "expected"), [(0.2, "roll_back"), (0.5, "retrain")])
def test_a_version_that_is_worse_than_the_one_before_from_its_start_is_rolled_back(
    earlier_error: float, expected: str
) -> None:
    state, first = ModelState(), Served(MANIFEST)
    list(found(first, rows(2_000, wrong=earlier_error, seed=3), state))
    second = replace(first, version=2)
    events: list[Any] = list(found(second, rows(1_000, wrong=0.5, seed=4), state, first=2_000))
    assert {one.recommendation for one in events if one.kind is DriftKind.PERFORMANCE} == {expected}
