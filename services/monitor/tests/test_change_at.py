"""Drift events name the first row after the change."""

import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from modelyard_contracts import DriftDetected, DriftKind
from modelyard_monitor.domain.change_point import MAX_BLOCKS, NO_HISTORY, ErrorHistory
from modelyard_monitor.domain.evidence import event_of
from modelyard_monitor.domain.findings import apply
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import ModelState
from modelyard_monitor.testing.samples import START
from modelyard_monitor.testing.streams import Rows, Served, stream_manifest

MANIFEST = stream_manifest("a")
CHANGE = 4_000


def stream(errors: np.ndarray, moved: float = 0.0) -> Rows:
    """Errors as given; the score moves by `moved` standard deviations at row CHANGE."""
    rng = np.random.default_rng(4)
    score = rng.normal(size=len(errors)) + moved * (np.arange(len(errors)) >= CHANGE)
    return Rows({"a": rng.normal(size=len(errors))}, score, None, errors)


def events(rows: Rows, delay_rows: int = 0) -> list[DriftDetected]:
    state, found = ModelState(), list[DriftDetected]()
    for piece in Served(MANIFEST, label_delay_rows=delay_rows).slices(rows):
        for one in apply(state.of(piece), piece, MANIFEST, Rules()):
            event = event_of(one, piece, MANIFEST, "db")
            found += [event] if isinstance(event, DriftDetected) else []
    return found


def row_of(moment: datetime | None) -> float:
    """Rows of a simulated stream are a second apart."""
    assert moment is not None
    return (moment - START).total_seconds()


@pytest.mark.parametrize("delay_rows", [0, 1_000])
def test_a_rise_of_the_error_names_the_row_of_the_change_also_when_labels_are_late(delay_rows: int) -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(6_000) < np.where(np.arange(6_000) < CHANGE, 0.2, 0.45)
    [first, *_] = [one for one in events(stream(wrong.astype(float)), delay_rows) if one.kind is DriftKind.PERFORMANCE]
    assert abs(row_of(first.change_at) - CHANGE) <= 100
    assert row_of(first.window_start) >= CHANGE + 100, "the newest slice is not the change"


def test_a_moved_score_names_the_start_of_the_rows_that_moved() -> None:
    found = events(stream(np.zeros(6_000), moved=1.5))
    [first, *_] = [one for one in found if one.kind is DriftKind.SCORE]
    assert CHANGE - 500 <= row_of(first.change_at) <= CHANGE + 500


def test_errors_that_were_high_from_the_first_label_name_no_change() -> None:
    wrong = np.random.default_rng(2).random(3_000) < 0.5
    found = [one for one in events(stream(wrong.astype(float))) if one.kind is DriftKind.PERFORMANCE]
    assert found and {one.change_at for one in found} == {None}


def test_the_history_stays_small_and_has_an_answer_with_any_number_of_labels() -> None:
    history, start = NO_HISTORY, datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(20_000):
        wrong = int(number % (10 if number < 18_000 else 2) == 0)
        history = history.plus(start + timedelta(seconds=number), 1, wrong, wrong)
    assert len(history.blocks) == MAX_BLOCKS and len(pickle.dumps(history)) < 20_000
    assert history.rise_at is not None
    assert abs((history.rise_at - start).total_seconds() - 18_000) <= 100
    assert ErrorHistory().rise_at is None and ErrorHistory().plus(start, 3, 1, 1).rise_at is None
