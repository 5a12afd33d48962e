"""The report says what was measured, and finds what does not add up."""

import io
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import numpy as np
import pytest
from rich.console import Console

from modelyard import ApiError
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.loops import closed, loops
from modelyard_cli.demo.measure import mean_by_part, rolling, row_scores
from modelyard_cli.demo.page import page
from modelyard_cli.demo.report import Report, as_tables, faults, make_report
from modelyard_cli.demo.roll_back import show_roll_back
from modelyard_cli.demo.traffic import Answers
from modelyard_cli.stack.layout import StackError

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
STORY = UUID(int=1)


def event(seconds: float, topic: str, **payload: Any) -> dict[str, Any]:
    return {
        "topic": topic,
        "type": topic.split(".")[1],
        "event_id": UUID(int=int(seconds * 10)),
        "occurred_at": START + timedelta(seconds=seconds),
        "correlation_id": STORY,
        "cause_id": None,
        "payload": payload,
    }


ALARM = event(0, "monitoring.drift.detected.v1", kind="performance", reason="errors rose", severity="critical")
RUNS = [
    event(1, "training.run.changed.v1", state="requested", run_id="r", version=None),
    event(9, "training.run.changed.v1", state="succeeded", run_id="r", version=2, cost_usd=0.5),
]
VERDICT = event(12, "evaluation.run.finished.v1", verdict="deploy", reasons=["better"])
PROMOTED = event(20, "deployment.rollout.changed.v1", state="promoted", to_version=2)


def test_a_loop_is_told_from_alarm_to_promotion() -> None:
    [loop] = loops([ALARM, *RUNS, VERDICT, PROMOTED])
    assert (loop["challenger"], loop["verdict"], loop["rollout"], loop["seconds"]) == (2, "deploy", "promoted", 20.0)
    assert loop["promoted_at"] == "2026-11-20T12:00:20+00:00"
    assert closed(loop)


def test_a_refused_challenger_closes_a_loop_too() -> None:
    verdict = event(12, "evaluation.run.finished.v1", verdict="reject", reasons=["worse"])
    [loop] = loops([ALARM, *RUNS, verdict])
    assert closed(loop)
    assert loop["promoted_at"] is None


def test_a_loop_may_end_with_an_earlier_version() -> None:
    verdict = event(12, "evaluation.run.finished.v1", verdict="reject", reasons=["version 1 is better"])
    back = event(20, "deployment.rollout.changed.v1", state="promoted", to_version=1)
    [loop] = loops([ALARM, *RUNS, verdict, back])
    assert (loop["challenger"], loop["verdict"], loop["rollout_version"]) == (2, "reject", 1)
    assert loop["promoted_at"] is not None


def test_a_loop_under_way_is_not_closed() -> None:
    [loop] = loops([ALARM, *RUNS, VERDICT])
    assert not closed(loop)


def test_an_alarm_that_the_policy_refused_is_no_loop() -> None:
    assert loops([ALARM, event(1, "training.run.changed.v1", state="refused", run_id="r", version=None)]) == []


def test_a_run_that_a_person_asked_for_is_no_loop() -> None:
    assert loops(RUNS) == []


def report(**changes: Any) -> Report:
    rows, first = 1000, 100
    stream = Stream(
        name="m",
        target="y",
        numeric=("a",),
        categorical=(),
        numbers=np.zeros((rows, 1)),
        words=np.empty((rows, 0), dtype=object),
        labels=np.array(["no", "yes"] * (rows // 2), dtype=object),
        classes=("no", "yes"),
    )
    answers = Answers(labels_sent=900)
    for row in range(first, rows):
        answers.outputs[row] = str(stream.labels[row])
        answers.at[row] = START.timestamp() + row / 45
        answers.latencies_ms.append(2.0)
    stored = {"stored": 900, "distinct": 900, "joined": 900, "cost_usd": 0.0}
    compared = {name: np.array([label] * 900) for name, label in (("frozen", "no"), ("scheduled", "yes"))}
    made = make_report(
        stream, first, answers, compared, stored, loops([ALARM, *RUNS, VERDICT, PROMOTED]),
        [{"version": 1, "stage": "approved", "digest": "sha256:00"}],
    )  # fmt: skip
    return {**made, "wall_seconds": 9.0, **changes}


def test_accuracies_are_of_the_answers_and_of_the_frozen_version() -> None:
    accuracy = report()["accuracy"]
    assert (accuracy["platform_overall"], accuracy["frozen_overall"]) == (1.0, 0.5)
    assert len(accuracy["platform"]) == len(accuracy["frozen"]) == 8


def test_counts_that_add_up_and_a_closed_loop_pass() -> None:
    assert faults(report()) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"predictions_stored": 899}, "899 stored"),
        ({"predictions_distinct": 901}, "901 distinct"),
        ({"labels_joined": 12}, "12 joined"),
        ({"loops": []}, "no loop closed"),
        ({"rollback_error": "rollout 7 is still preparing"}, "no roll-back could be shown: rollout 7 is still"),
    ],
)
def test_what_does_not_add_up_is_named(changes: dict[str, Any], complaint: str) -> None:
    assert complaint in " ".join(faults(report(**changes)))


@pytest.mark.parametrize("error", [StackError("still preparing"), ApiError(409, "conflict", "still preparing")])
def test_a_roll_back_that_fails_does_not_cost_the_report(error: Exception) -> None:
    platform: Any = SimpleNamespace(deployer=SimpleNamespace(rollouts=Mock(side_effect=error)))
    stream: Any = SimpleNamespace(name="m", rows=1_000)
    rollback = show_roll_back(platform, stream, print)
    [complaint] = faults(report(**rollback))
    assert "still preparing" in complaint
    console = Console(file=io.StringIO(), width=100)
    console.print(as_tables(report(**rollback)))
    assert "no rollback: it failed" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "roll-back" in page(report(**rollback))


def test_the_page_stands_alone_and_escapes_what_it_shows() -> None:
    made = report(model="<script>alert(1)</script>", rollback_seconds=0.5)
    html = page(made)
    assert "<script" not in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert "errors rose" in html
    assert "v2 live" in html
    assert "alarm 1<" in html
    assert "0.5000 USD" in html
    assert "put back" not in html
    shown = {"from_version": 2, "to_version": 1, "seconds": 0.1}
    assert "Then v1 was put back in place of v2" in page({**made, "rollback": shown})


def test_parts_and_rolling_windows_by_hand() -> None:
    right = np.array([True] * 8 + [False] * 8)
    assert mean_by_part(right) == [1, 1, 1, 1, 0, 0, 0, 0]
    assert rolling(right, window=4, points=4) == [(4, 1.0), (8, 1.0), (12, 0.0), (16, 0.0)]


def test_a_regression_is_scored_by_its_absolute_error() -> None:
    numbers = np.zeros((4, 1))
    truth = np.array([1.0, 2.0, 3.0, 4.0], dtype=object)
    stream = Stream("m", "y", ("x",), (), numbers, np.empty((4, 0), dtype=object), truth, ())
    assert row_scores([1.5, 2.0, 2.0, 4.0], truth, stream).tolist() == [0.5, 0.0, 1.0, 0.0]
