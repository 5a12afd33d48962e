"""Parts of the backtest: policy files, the time of the data, what was done so far, and the figures."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelyard_cli.backtest.journal import Journal, sole_run
from modelyard_cli.backtest.named import adaptive, policies_of
from modelyard_cli.backtest.policies import Policies, trained_before
from modelyard_cli.backtest.report import as_table, page
from modelyard_cli.backtest.results import curves_of, platform_facts, result, rows_below
from modelyard_cli.backtest.timing import Timing, first_rows, timing
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.drawing import ticks
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_contracts.policy_changes import checked

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "docs/examples/policies").glob("*.yaml"))
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


def test_durations_of_policies_stay_as_they_count_in_the_time_of_the_data() -> None:
    given = replace(adaptive(1_800.0), rollout=RolloutPolicy(max_hold_s=7_200))
    found = given.in_backtest()
    assert (found.gate, found.retrain) == (given.gate, given.retrain)
    assert (found.rollout.min_step_s, found.rollout.max_hold_s) == (given.rollout.min_step_s, 7_200)
    assert found.rollout.adaptive.update_every_s == 0.1, "weights follow before the next block"


def test_a_version_that_waits_for_a_person_in_production_does_not_wait_in_a_backtest() -> None:
    careful = replace(adaptive(1.0), gate=GatePolicy(approval="manual"))
    assert careful.in_backtest().gate.approval == "automatic"


def test_a_delay_in_time_counts_rows_of_that_time() -> None:
    found = timing(stream(times=half_hours()), 100, delay_s=DAY_S, delay_rows=None)
    assert (found.row_s, found.delay_rows) == (HALF_HOUR_S, 48)
    assert found.known[[99, 100, 500]].tolist() == [99, 148, 548], "training rows are known at once"
    gaps = np.where(np.arange(1_000) % 2, 60.0, 3_540.0).cumsum()
    uneven = timing(stream(times=gaps), 100, delay_s=3_540, delay_rows=None)
    assert uneven.known[[200, 201]].tolist() == [202, 202], "each label arrives at its own time, not after the median"


def test_a_label_is_never_known_before_its_row_is_answered() -> None:
    times = np.repeat(np.arange(250) * 3_600.0, 4)
    found = timing(stream(times=times), 100, delay_s=0, delay_rows=None)
    assert (found.known >= np.arange(1_000)).all()
    assert found.row_s == pytest.approx(897, abs=5), "a mean: most rows have the time of the row before"


def test_labels_arrive_when_the_log_says_so_unless_a_delay_is_given() -> None:
    times = half_hours()
    given = replace(stream(times=times), label_times=times + np.where(np.arange(1_000) % 2, 2.0, 10.0) * HALF_HOUR_S)
    assert timing(given, 100, delay_s=None, delay_rows=None).known[200:204].tolist() == [210, 203, 212, 205]
    assert timing(given, 100, delay_s=HALF_HOUR_S, delay_rows=None).known[200:202].tolist() == [201, 202]
    assert timing(given, 100, delay_s=None, delay_rows=5).known[200:202].tolist() == [205, 206]


@pytest.mark.parametrize(
    ("times", "delay", "complaint"),
    [
        (None, {"delay_s": 60.0, "delay_rows": None}, "no time column"),
        (half_hours(), {"delay_s": 400.0 * DAY_S, "delay_rows": None}, "900 of the 900 rows after version 1"),
        (half_hours(), {"delay_s": 12.0 * DAY_S, "delay_rows": None}, "more than half"),
        (None, {"delay_s": None, "delay_rows": 451}, "451 of the 900 rows"),
    ],
)
def test_a_delay_that_leaves_too_few_labels_is_refused(times: Any, delay: Any, complaint: str) -> None:
    with pytest.raises(StackError, match=complaint):
        timing(stream(times=times), 100, **delay)


@pytest.mark.parametrize(("rows", "first"), [(3_000, 750), (5_000, 1_000), (45_312, 4_531)])
def test_version_1_learns_from_a_tenth_or_from_a_thousand_rows_of_a_short_stream(rows: int, first: int) -> None:
    assert first_rows(rows) == first


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


def test_two_backtests_do_not_share_a_folder(tmp_path: Path) -> None:
    with sole_run(tmp_path / "report"), pytest.raises(StackError, match="a backtest already runs in"):
        sole_run(tmp_path / "report").__enter__()
    with sole_run(tmp_path / "report"):
        pass


def test_rows_below_the_frozen_version_are_counted_by_rolling_means() -> None:
    frozen = np.full(2_000, 0.5)
    scores = np.concatenate([np.full(1_000, 0.6), np.full(1_000, 0.4)])
    below = rows_below(scores, frozen, lower_is_better=False)
    assert below == 750, "the mean over 500 rows falls below after half of them"
    assert rows_below(scores, frozen, lower_is_better=True) == 1_501 - below - 1
    assert rows_below(frozen, frozen, lower_is_better=False) == 0


def made_report(**changes: Any) -> dict[str, Any]:
    timed, ones, halves = Timing(HALF_HOUR_S, 48, np.arange(1_000) + 48), np.ones(1_000), np.full(1_000, 0.5)
    own = result("<b>bold</b>", ones, halves, stream(), timed, trainings=3, train_cost_usd=0.25, alarms=4, rollbacks=1)
    frozen = result("frozen", halves, halves, stream(), timed)
    return {
        "name": "s",
        "rows": 1_000,
        "label_delay_rows": 48,
        "task": "binary",
        "metric": "accuracy",
        "note": "in lockstep",
        "data_notes": [],
        "policies": [own],
        "baselines": dict.fromkeys(("frozen", "scheduled", "scheduled_every", "online", "oracle"), frozen),
        "curve": curves_of({"<b>bold</b>": ones}, dict.fromkeys(("frozen", "scheduled", "online", "oracle"), halves)),
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
    html = page(made_report())
    assert "<script" not in html
    assert "<b>bold" not in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)


def test_the_report_has_a_curve_of_each_policy_and_of_the_baselines_beside_it() -> None:
    half = np.concatenate([np.zeros(500), np.ones(500)])
    found = curves_of({"a": half}, dict.fromkeys(("frozen", "scheduled", "scheduled_every", "online", "oracle"), half))
    assert list(found) == ["policy a", "online", "scheduled", "frozen", "oracle"]
    assert (found["policy a"][0], found["oracle"][-1]) == ((500, 0.0), (1_000, 1.0))


def test_every_policy_keeps_its_line_when_there_are_more_lines_than_colours() -> None:
    curves = {f"policy {place}": [(500, 0.5), (1_000, 0.6)] for place in range(9)}
    assert page(made_report(curve=curves)).count("<polyline") == 9


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.9), (0.0, 1.0), (120.0, 4_000.0), (-0.001, 0.001), (1e6, 1.1e6)])
def test_ticks_are_round_and_lie_between_the_bounds(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 11
    assert all(low <= value <= high for value in found)


def test_policies_that_differ_only_in_when_they_train_share_version_1(tmp_path: Path) -> None:
    texts = ("{}", "{retrain: {every_rows: 500}, rollout: {strategy: adaptive}}", "{retrain: {window_rows: 300}}")
    policies = []
    for number, text in enumerate(texts):
        file = tmp_path / f"p{number}.yaml"
        file.write_text(text)
        policies.append(Policies.read(file))
    assert [trained_before(policies, place) for place in range(3)] == [None, "p0", None]


def test_trainings_are_counted_without_that_of_version_1_shared_or_not() -> None:
    def run(version: int | None, state: str = "succeeded") -> Any:
        return SimpleNamespace(version=version, state=state, cost_usd=0.5)

    def facts(*runs: Any) -> Any:
        client = SimpleNamespace(runs=lambda *_, **__: runs, rollouts=lambda *_, **__: (), drift=lambda *_, **__: ())
        platform: Any = SimpleNamespace(trainer=client, deployer=client, monitor=client)
        return platform_facts(platform, "m")

    assert (facts(run(3), run(None, "failed"), run(2), run(1))["trainings"], facts(run(2))["trainings"]) == (2, 1)
    assert facts(run(2), run(1))["train_cost_usd"] == 0.5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_policy_of_the_examples_is_read(path: Path) -> None:
    assert Policies.read(path).name == path.stem


def test_there_are_examples_of_policies_and_the_guide_leads_to_each() -> None:
    guide = (ROOT / "docs/guides/backtest.md").read_text()
    assert [path.name for path in EXAMPLES if f"examples/policies/{path.name}" not in guide] == []
    assert EXAMPLES


def test_a_report_states_the_policies_of_production_and_not_those_that_ran() -> None:
    given = replace(adaptive(1_800.0), gate=GatePolicy(approval="manual"))
    stated = given.stated()
    assert checked(stated) == given.by_kind()
    assert stated["gate"]["approval"] == "manual"
    assert stated["rollout"]["keep_warm_s"] == 3_600
    assert stated["rollout"]["adaptive"]["update_every_s"] == 2
    json.dumps(stated)


def test_policies_by_name_count_their_waits_in_rows(tmp_path: Path) -> None:
    name, new = policies_of("learners")
    days, halves = new(86_400.0), new(1_800.0)
    assert (name, days.name) == ("learners", "learners")
    assert days.retrain.cool_down_s == 48 * halves.retrain.cool_down_s == 2_000 * 86_400
    assert halves.rollout.strategy == "adaptive" and halves.retrain.online == ("forest", "linear")
    (tmp_path / "own.yaml").write_text("retrain: {cool_down_s: 7}")
    name, new = policies_of(str(tmp_path / "own.yaml"))
    assert (name, new(1.0).retrain.cool_down_s) == ("own", 7)
    with pytest.raises(StackError, match="no such file, and none of canary, adaptive"):
        policies_of("canaries")
