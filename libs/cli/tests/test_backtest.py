"""Parts of the backtest: policy files, the time of the data, what was done so far, and the figures."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_cli.backtest.journal import Journal
from modelyard_cli.backtest.policies import Policies, duration_s
from modelyard_cli.backtest.report import as_table, page
from modelyard_cli.backtest.results import result, rows_below
from modelyard_cli.backtest.timing import Timing, timing
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.drawing import ticks
from modelyard_cli.stack.layout import StackError

DAY_S = 86_400
HALF_HOUR_S = 1_800.0


def stream(rows: int = 1_000, times: Any = None, classes: tuple[str, ...] = ("no", "yes")) -> Stream:
    labels = np.array(["no", "yes"] * (rows // 2), dtype=object)
    return Stream("s", "y", ("a",), (), np.zeros((rows, 1)), np.empty((rows, 0), dtype=object), labels, classes, times)


def half_hours(rows: int = 1_000) -> Any:
    return np.arange(rows) * HALF_HOUR_S


def test_a_policy_file_has_the_three_policies_and_its_name(tmp_path: Path) -> None:
    file = tmp_path / "Strict One.yaml"
    file.write_text("gate: {min_gain: 0.01}\nretrain:\n  cool_down_s: 86400\nrollout: {strategy: canary}\n")
    found = Policies.read(file)
    assert (found.name, found.gate.min_gain, found.retrain.cool_down_s, found.rollout.strategy) == (
        "strict-one",
        0.01,
        86_400,
        "canary",
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gate: {min_gian: 1}", "gate.min_gian"),
        ("retrain: {cool_down_s: soon}", "retrain.cool_down_s"),
        ("gates: {}", "the sections gate, retrain and rollout"),
        ("- 1", "the sections gate, retrain and rollout"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_bad_policy_file_is_refused_with_the_field(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(StackError, match=re.escape(complaint)):
        Policies.read(file)
    with pytest.raises(StackError, match="cannot be read"):
        Policies.read(tmp_path / "none.yaml")


def test_durations_of_policies_follow_the_pace_of_the_data() -> None:
    paced = Policies.usual(1_800.0).at_pace(wall_s_per_data_s=1e-3, data_s=10 * DAY_S)
    assert paced.retrain.cool_down_s == pytest.approx(900.0)
    assert paced.retrain.max_runs_per_day == 240
    assert paced.rollout.adaptive.update_every_s == 0.1, "the least that a policy may have"
    assert paced.gate == Policies.usual(1_800.0).gate


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("12h", 43_200), ("1.5m", 90), ("45s", 45), ("2w", 14 * DAY_S)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1 h x"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30d"):
        duration_s(text)


def test_a_delay_in_time_becomes_the_median_number_of_rows() -> None:
    found = timing(stream(times=half_hours()), 100, delay_s=DAY_S, delay_rows=None)
    assert found == Timing(HALF_HOUR_S, 48)
    gaps = np.where(np.arange(1_000) % 2, 60.0, 3_540.0).cumsum()
    assert timing(stream(times=gaps), 100, delay_s=3_600, delay_rows=None).delay_rows == 2


def test_rows_with_equal_times_have_a_mean_distance() -> None:
    times = np.repeat(np.arange(250) * 3_600.0, 4)
    found = timing(stream(times=times), 100, delay_s=None, delay_rows=5)
    assert found.row_s == pytest.approx(897, abs=5)
    assert found.delay_rows == 5


@pytest.mark.parametrize(
    ("times", "delay", "complaint"),
    [
        (None, {"delay_s": 60.0, "delay_rows": None}, "no time column"),
        (half_hours(), {"delay_s": 400.0 * DAY_S, "delay_rows": None}, "longer than the 18.7 days"),
        (half_hours(), {"delay_s": 12.0 * DAY_S, "delay_rows": None}, "more than half of the 900 rows"),
        (None, {"delay_s": None, "delay_rows": 451}, "more than half"),
    ],
)
def test_a_delay_that_cannot_be_is_refused(times: Any, delay: Any, complaint: str) -> None:
    with pytest.raises(StackError, match=complaint):
        timing(stream(times=times), 100, **delay)


def test_a_journal_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    facts = {"data": "x"}
    journal = Journal(tmp_path, facts)
    assert not journal.resumed
    journal.block("m", 100, ["a", "b"])
    journal.block("m", 102, ["c"])
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"policy": "m", "first": 103, "outp')
    again = Journal(tmp_path, facts)
    assert again.resumed
    progress = again.progress("m", 100)
    assert (progress.done, progress.outputs) == (103, {100: "a", 101: "b", 102: "c"})
    again.block("m", 103, ["d"])
    assert Journal(tmp_path, facts).progress("m", 100).done == 104, "the torn line is gone"
    again.finish("m", {"trainings": 3})
    assert Journal(tmp_path, facts).result("m") == {"trainings": 3}
    assert again.progress("other", 7).done == 7


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path, {"data": "x"})
    with pytest.raises(StackError, match="another backtest"):
        Journal(tmp_path, {"data": "y"})


def test_rows_below_the_frozen_version_are_counted_by_rolling_means() -> None:
    frozen = np.full(2_000, 0.5)
    scores = np.concatenate([np.full(1_000, 0.6), np.full(1_000, 0.4)])
    below = rows_below(scores, frozen, lower_is_better=False)
    assert below == 750, "the mean over 500 rows falls below after half of them"
    assert rows_below(scores, frozen, lower_is_better=True) == 1_501 - below - 1
    assert rows_below(frozen, frozen, lower_is_better=False) == 0


def made_report(**changes: Any) -> dict[str, Any]:
    timed, ones, halves = Timing(HALF_HOUR_S, 48), np.ones(1_000), np.full(1_000, 0.5)
    own = result("<b>bold</b>", ones, halves, stream(), timed, trainings=3, train_cost_usd=0.25, alarms=4, rollbacks=1)
    frozen = result("frozen", halves, halves, stream(), timed)
    return {
        "name": "s",
        "rows": 1_000,
        "label_delay_rows": 48,
        "task": "binary",
        "metric": "accuracy",
        "note": "in lockstep",
        "policies": [own],
        "baselines": dict.fromkeys(("frozen", "scheduled", "scheduled_every", "online", "oracle"), frozen),
        **changes,
    }


def test_the_report_has_the_same_figures_for_policies_and_baselines() -> None:
    report = made_report()
    [own] = report["policies"]
    assert own["metric_overall"] == 1.0
    assert own["metric"] == [1.0] * 8
    assert own["seconds_below_frozen"] == 0
    assert set(own) == set(report["baselines"]["frozen"])
    json.dumps(report)
    assert as_table(report) is not None


def test_the_page_stands_alone_and_escapes_what_it_shows() -> None:
    html = page(made_report(), {"policy <b>bold</b>": [(500, 0.9), (1_000, 1.0)], "frozen": [(500, 0.5), (1_000, 0.5)]})
    assert "<script" not in html
    assert "<b>bold" not in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.9), (0.0, 1.0), (120.0, 4_000.0), (-0.001, 0.001), (1e6, 1.1e6)])
def test_ticks_are_round_and_lie_between_the_bounds(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 11
    assert all(low <= value <= high for value in found)
