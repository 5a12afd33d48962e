"""The command `train`: what it asks, what it refuses without `--yes`, and its exit codes."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from modelyard_cli import outcomes
from modelyard_cli import train as train_module
from modelyard_cli.__main__ import app
from modelyard_cli.outcomes import Exit, TimedOut, wait_for
from modelyard_cli.stack.layout import StackError


def write(path: Path, header: str, *cells: str, rows: int = 600) -> Path:
    lines = [",".join(cell.split("|")[row % len(cell.split("|"))] for cell in cells) for row in range(rows)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def run(*arguments: str, answers: str = "") -> Any:
    return CliRunner().invoke(app, ["train", "m", *arguments], input=answers)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard_cli.train.interactive", lambda: True)


def test_on_a_terminal_it_asks_for_target_and_task(terminal: None, tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "class,amount,survived", "1|2|3", "5|6", "0|1|2")
    result = run(str(file), "--dry-run", answers="amount_\nsurvived\nmulticlass\n")
    assert result.exit_code == 0, result.output
    assert "which column is the target: class, survived" in result.stderr
    assert "choose one of class, survived" in result.stderr
    assert "task: multiclass, target: survived" in result.stderr


def test_on_a_terminal_nothing_is_trained_unless_it_is_confirmed(terminal: None, tmp_path: Path) -> None:
    result = run(str(write(tmp_path / "t.csv", "x,label", "1|2|3", "no|yes")), answers="n\n")
    assert result.exit_code == 1 and "Train on this?" in result.stderr


def test_doubts_are_an_error_without_a_terminal_unless_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found(Exception):
        """The platform was looked for: the file was accepted."""

    def find(_: Path) -> None:
        raise Found

    monkeypatch.setattr("modelyard_cli.train.Platform.find", find)
    file = str(write(tmp_path / "t.csv", "x,label", "1|2|3", "no|" * 99 + "yes"))
    refused = run(file)
    assert refused.exit_code == 2 and "set --yes to train nevertheless" in refused.stderr.splitlines()[-1]
    assert isinstance(run(file, "--yes").exception, Found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metric", "mae"), "--metric mae: for the task binary use accuracy, balanced_accuracy, macro_f1, log_loss"),
        (("--task", "cluster"), "--task cluster: use binary, multiclass, regression"),
        (("--column", "x"), "--column x: write NAME=TYPE"),
        (("--separator", "ab"), "--separator ab: give one character"),
        (("--decimal", ";"), "--decimal ;: use . or ,"),
        (("--encoding", "klingon"), "--encoding klingon: unknown; use utf-8"),
        (("--time", "x"), "line 2: '1' is no timestamp in the time column 'x'"),
        (("--target", "x", "--time", "x"), "--time x is the target; name another column"),
        (("--time", "x", "--shuffle"), "--shuffle: the rows have the order of --time; leave one of the two out"),
    ],
)
def test_an_option_that_cannot_be_used_names_the_remedy(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = run(str(write(tmp_path / "t.csv", "x,label", "1|2|3", "no|yes")), "--dry-run", *options)
    assert result.exit_code == 2 and message in result.stderr, result.output


def test_an_outcome_that_is_not_known_in_time_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "TIMEOUT_S", 0.0)
    with pytest.raises(TimedOut, match="after 0 s: no verdict yet") as late:
        wait_for(lambda: None, "no verdict yet")
    assert (late.value.exit_code, StackError("x").exit_code) == (Exit.NOT_KNOWN, 2)


def test_every_exit_code_is_in_the_help() -> None:
    text = train_module.train.__doc__ or ""
    assert [code for code in Exit if f"{code.value} " not in text] == []
