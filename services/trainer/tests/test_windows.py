"""Training windows: which rows a fit learns from, which windows are left out and why, and how one is chosen."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.manifest import ManifestFile
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.policies import Window as WindowName
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_devstack.testing import wait_until
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.recipes import TabularParameters
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.split import Fold, Split
from modelyard_trainer.domain.windows import MAX_HALF_LIVES, MIN_SINCE_CHANGE_ROWS, Window, windows_of
from modelyard_trainer.jobs.rundir import RunDir, file_digest
from modelyard_trainer.recipes.candidates import Trials
from modelyard_trainer.recipes.estimators import fit_tabular, weight_arguments
from modelyard_trainer.recipes.outcome import Selection, summary_of
from modelyard_trainer.recipes.selection import Candidate, Tried, attempt
from modelyard_trainer.runs.steps import request_of
from modelyard_trainer.worker.main import windows_requested
from modelyard_trainer.worker.snapshot import snapshot_rows
from modelyard_trainer.worker.work import Rows, Work

from .helpers.data import START, moments, training_signature
from .helpers.requests import request

ALL: tuple[WindowName, ...] = ("recent", "since_change", "age_weighted", "all")
SPLIT = Split(train=8_800, used=9_500, rows=10_000, first=6_000)
"""Ten thousand rows: the usual window has the newest 4,000, of which 500 are held out."""


def names(found: Any) -> list[str]:
    return [window.name for window in found.tried]


def test_every_window_ends_at_the_newest_row_and_begins_where_its_name_states() -> None:
    found = windows_of(ALL, SPLIT, half_life_rows=100, change=8_000)
    assert [(window.name, window.first, window.half_life_rows) for window in found.tried] == [
        ("recent", 6_000, None),
        ("since_change", 8_000, None),
        ("age_weighted", 10_000 - 100 * MAX_HALF_LIVES, 100),
        ("all", 0, None),
    ]
    assert (found.usual.name, found.change, found.left_out) == ("recent", 8_000, {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "no change is known"),
        (0, "the change is not within the rows"),
        (9_500 - MIN_SINCE_CHANGE_ROWS + 1, "299 rows to learn from since the change; at least 300 are needed"),
        (9_700, "0 rows to learn from since the change; at least 300 are needed"),
        (10_000, "0 rows to learn from since the change; at least 300 are needed"),
    ],
)
def test_a_change_that_is_unknown_outside_of_the_rows_or_too_recent_leaves_its_window_out(
    change: int | None, reason: str
) -> None:
    found = windows_of(ALL, SPLIT, 2_000, change)
    assert names(found) == ["recent", "age_weighted", "all"]
    assert found.left_out == {"since_change": reason}
    assert found.change is None or found.change == 0


def test_all_is_left_out_if_it_is_the_same_as_recent() -> None:
    found = windows_of(("recent", "all"), Split(train=600, used=800, rows=1_000), 2_000, None)
    assert (names(found), found.left_out) == (["recent"], {"all": "no row is older than those of recent"})


def test_without_any_usable_window_it_is_the_usual_one() -> None:
    found = windows_of(("since_change",), SPLIT, 2_000, None)
    assert found.tried == (found.usual,) == (Window("recent", 6_000),)


def request_with(change_at: str | None) -> dict[str, Any]:
    return request(training_signature(), windows=["recent", "since_change"], half_life_rows=500, change_at=change_at)


def rows(count: int, seed: int = 1, times: Any = None) -> Rows:
    """Two numbers; the class is the sign of the first one."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(count, 2))
    stamps = pa.array(moments(count)).cast(pa.timestamp("us")).to_numpy() if times is None else times
    return Rows(numeric, np.empty((count, 0), dtype=object), (numeric[:, 0] > 0).astype(np.int64), stamps)


def test_all_rows_of_the_moment_of_the_change_come_after_it() -> None:
    times = np.repeat(rows(100).times, 10)  # ten rows per minute
    at = START + timedelta(minutes=50)
    found = windows_requested(
        request_with(at.isoformat()), rows(1_000, times=times), Split(train=800, used=900, rows=1_000)
    )
    assert found.change == 500


@pytest.mark.parametrize("days", [-400, 400])
def test_a_change_before_the_first_row_or_in_the_future_is_named_and_not_used(days: int) -> None:
    at = (START + timedelta(days=days)).isoformat()
    found = windows_requested(request_with(at), rows(1_000), Split(train=800, used=900, rows=1_000))
    assert names(found) == ["recent"] and "since_change" in found.left_out


def test_weights_halve_with_each_half_life_and_never_become_zero() -> None:
    window = Window("age_weighted", 200, half_life_rows=50)
    found = rows(1_200).within(window, 1_000)
    assert found.weights is not None and len(found) == 800
    assert found.weights[-1] / found.weights[-51] == pytest.approx(2.0)
    assert found.weights.mean() == pytest.approx(1.0)
    [aged] = windows_of(("age_weighted",), Split(90_000, 99_500, 100_000, first=96_000), 50, None).tried
    oldest = rows(100_000).within(aged, 100_000).weights
    assert oldest is not None and oldest.min() > 1e-6


SIGNATURE = Signature(
    columns=(Column(name="a"), Column(name="b")), output=Output(task=Task.BINARY, classes=("no", "yes"))
)


@pytest.mark.parametrize("name", ["logistic", "boosting", "boosting-recent", "extra-trees"])
def test_weights_reach_every_estimator(name: str) -> None:
    """The rule is reversed in the newest quarter; weights alone make a fit on all rows follow it."""
    data = rows(1_200)
    data.targets[900:] = 1 - data.targets[900:]
    parameters, folds = TabularParameters(max_iterations=20), [Fold(1_100, 1_200, 1.0)]

    def accuracy(window: Window) -> float:
        found = attempt(fit_tabular, Candidate(name, window), parameters, data, folds, SIGNATURE)
        return found.figures["accuracy"]

    assert accuracy(Window("age_weighted", 0, half_life_rows=50)) > 0.85
    assert accuracy(Window("all", 0)) < 0.5


def test_an_estimator_without_weights_is_left_out_by_name() -> None:
    class Nearest:
        def fit(self, matrix: Any, targets: Any) -> "Nearest":
            return self

    def fit(name: str, parameters: Any, rows: Rows, signature: Signature) -> Any:
        return Nearest().fit(None, None, **weight_arguments(Nearest(), rows))

    window = Window("age_weighted", 0, half_life_rows=50)
    found = attempt(fit, Candidate("nearest", window), None, rows(400), [Fold(300, 400, 1.0)], SIGNATURE)
    assert (found.label, found.error) == (
        "nearest on age_weighted",
        "ValueError: Nearest takes no weights of rows",
    )


def test_a_window_with_one_class_fails_by_name_and_the_others_go_on() -> None:
    data = rows(1_000)
    data.targets[500:800] = 1
    folds, parameters = [Fold(800, 1_000, 1.0)], TabularParameters(max_iterations=5)
    short = attempt(fit_tabular, Candidate("boosting", Window("since_change", 500)), parameters, data, folds, SIGNATURE)
    assert short.error == "ValueError: the 300 rows to learn from have one class only"
    assert not attempt(fit_tabular, Candidate("boosting", Window("all", 0)), parameters, data, folds, SIGNATURE).error


def test_windows_not_begun_in_time_are_named() -> None:
    late = Candidate("boosting", Window("all", 0), not_after_s=time.time() - 1)
    found = attempt(fit_tabular, late, TabularParameters(), rows(400), [Fold(300, 400, 1.0)], SIGNATURE)
    assert found.error == "TimeoutError: the time for trying windows was over"


class Direct:
    """A pool that calls functions in this process."""

    def each(self, function: Any, calls: Any) -> Any:
        return (function(*call) for call in calls)


def test_if_every_window_fails_the_estimators_on_the_usual_one_decide() -> None:
    def fit(name: str, parameters: Any, rows: Rows, signature: Signature) -> Any:
        if len(rows) > 4_000:
            raise MemoryError("too many rows")
        return fit_tabular(name, parameters, rows, signature)

    data, split = rows(10_000), Split(train=8_800, used=9_500, rows=10_000, first=6_000)
    parameters = TabularParameters(metric="accuracy", candidates=("logistic",))
    work = Work(data, split, SIGNATURE, parameters, Path(), 1, lambda *_: None)
    work = replace(work, given_windows=windows_of(("age_weighted", "all"), split, 1_000, None))
    used = data.part(0, split.used)
    selection = Trials(work, fit, Direct(), used, used).select(split.folds)
    assert (selection.best.name, selection.best.window, selection.best.error) == ("logistic", work.windows.usual, "")
    summary = summary_of(selection, work)
    assert "logistic on age_weighted failed: MemoryError: too many rows" in summary
    assert "logistic on all failed" in summary


def test_the_summary_names_every_candidate_with_its_window_and_what_was_left_out() -> None:
    windows = windows_of(ALL, SPLIT, 2_000, None)
    work = Work(rows(1), SPLIT, SIGNATURE, TabularParameters(metric="accuracy"), Path(), 1, lambda *_: None)
    work = replace(work, given_windows=windows)
    best = Tried("boosting", {"accuracy": 0.8}, window=windows.tried[0])
    other = Tried("boosting", {"accuracy": 0.7}, window=windows.tried[2])
    broken = Tried("logistic", error="ValueError: no", window=windows.tried[1])
    assert summary_of(Selection(best, [best, other, broken], {"accuracy": 0.5}), work) == (
        "boosting on recent: validation accuracy 0.8000, baseline 0.5000; others: boosting on all 0.7000; "
        "logistic on age_weighted failed: ValueError: no; window since_change left out: no change is known"
    )


def test_a_snapshot_reaches_back_as_far_as_its_windows() -> None:
    asked = {"window_rows": 4_000, "history_rows": 20_000}
    assert snapshot_rows(asked) == snapshot_rows({**asked, "windows": ["recent"]}) == 4_000
    assert snapshot_rows({**asked, "windows": ["recent", "all"]}) == 20_000
    assert snapshot_rows({**asked, "windows": ["all"], "history_rows": 1_000}) == 4_000


@pytest.mark.parametrize(
    ("named", "dataset", "sent"),
    [
        ((), None, ["recent", "all"]),
        ((), "sha256:" + "0" * 64, []),
        (("age_weighted",), None, ["age_weighted"]),
        (("age_weighted",), "sha256:" + "0" * 64, ["age_weighted"]),
    ],
)
def test_a_run_tries_the_windows_of_its_request_else_the_policys_and_all_rows_of_a_dataset(
    named: Any, dataset: str | None, sent: list[str]
) -> None:
    now = START
    run = Run(
        id="00000000-0000-0000-0000-000000000001",
        model="m",
        recipe="auto",
        policy=RetrainPolicy(windows=("recent", "all")),
        windows=named,
        change_at=now,
        correlation_id="00000000-0000-0000-0000-000000000001",
        given_dataset=dataset,
        as_of=now,
        created_at=now,
    )
    found = request_of(run, None)
    assert (found["windows"], datetime.fromisoformat(found["change_at"])) == (sent, now)


def prepared(folder: Path, data: Any, **changes: Any) -> RunDir:
    """A run on a given file that tries all windows."""
    folder.mkdir()
    pq.write_table(data, folder / "data.parquet")
    run_dir = RunDir(folder)
    fields = {
        "recipe": "tabular-classifier",
        "parameters": {"candidates": "logistic,boosting", "max_iterations": "20"},
        "holdout_rows": 200,
        "window_rows": 1_200,
        "history_rows": 20_000,
        "half_life_rows": 300,
        "windows": list(ALL),
        "given_dataset": file_digest(run_dir.data),
        "data": DataSpec().model_dump(mode="json"),
    }
    run_dir.prepare(request(**{**fields, **changes}))
    return run_dir


def reversed_at(row: int, count: int) -> Any:
    """A table whose rule is reversed from a row on; before it, `a` decides alone."""
    data = rows(count)
    data.targets[row:] = 1 - data.targets[row:]
    return pa.table(
        {
            "a": data.numeric[:, 0],
            "b": data.numeric[:, 1],
            "label": np.where(data.targets == 1, "yes", "no"),
            "occurred_at": moments(count),
        }
    )


def worker(run_dir: RunDir, temporary: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "modelyard_trainer.worker", str(run_dir.path)]
    with run_dir.log.open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, cwd=run_dir.path, env={**os.environ, "TMPDIR": temporary}
        )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_rows_after_the_change_decide_also_after_a_kill_in_the_middle(tmp_path: Path, loopback: None) -> None:
    """The rule was reversed 700 rows ago. The worker is killed while it compares windows."""
    change_at = (START + timedelta(minutes=2_300)).isoformat()
    run_dir = prepared(tmp_path / "run", reversed_at(2_300, 3_000), change_at=change_at)
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:  # short, for Ray's sockets
        first = worker(run_dir, temporary)
        wait_until(lambda: any("trying the windows" in line["note"] for line in run_dir.progress), 300)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(30)
        assert run_dir.result is None
        assert worker(run_dir, temporary).wait(300) == 0
    assert run_dir.result is not None, run_dir.log_tail
    lineage = ManifestFile.read(run_dir.manifest).manifest.training
    compared = {name for name in lineage.metrics if name.startswith("candidate_")}
    assert compared == {f"candidate_{one}_{window}" for one in ("logistic", "boosting") for window in ALL}
    facts = lineage.parameters
    assert facts["window"] == "since_change" and facts["window_rows"] == "500"
    assert datetime.fromisoformat(facts["window_from"]) == START + timedelta(minutes=2_300)
    assert datetime.fromisoformat(facts["window_until"]) == lineage.train_until == START + timedelta(minutes=2_799)
    assert lineage.metrics["validation_accuracy"] > 0.9 and lineage.metrics["accuracy"] > 0.9
    assert "on since_change: validation accuracy" in run_dir.result["summary"]
    assert "on all 0." in run_dir.result["summary"]
