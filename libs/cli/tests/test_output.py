"""What people and programs see is whole: in any width, with any signs in it."""

import io
import json
import subprocess
import sys
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from modelyard import ApiError
from modelyard_cli.output import Form, Listing, progress, reports_errors, rows, show, stdout_columns
from modelyard_cli.stack.layout import StackError

RUN: dict[str, Any] = {
    "run_id": "181914e9-a5ec-4483-976a-77d1db79777a",
    "model": "churn",
    "state": "succeeded",
    "progress": 1.0,
    "created_at": "2026-11-21T19:56:23.431192Z",
    "digest": "sha256:" + "4e62186012758eaf" * 4,
    "aliases": {"champion": 1},
    "reason": "logistic: difference +0.21 [+0.157, +0.261], needs 'modelyard-trainer[torch]' [/red]",
}
COLUMNS = tuple(RUN)


def printed(listing: Listing, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(listing)
    return file.getvalue()


def words(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200, 10_000])
def test_nothing_is_cut_off_in_any_width(width: int) -> None:
    text = printed(rows("training runs", COLUMNS, [RUN, RUN]), width)
    assert max(map(len, text.splitlines())) <= width
    assert words(text).count(words(RUN["run_id"])) == 2
    assert words(text).count(words("[+0.157, +0.261], needs 'modelyard-trainer[torch]' [/red]")) == 2
    assert words(text).count("succeeded") == 2


def test_values_are_as_a_person_reads_them() -> None:
    text = printed(rows("training runs", COLUMNS, [RUN]), 200)
    for value in ("2026-11-21 19:56:23 ", "sha256:4e6218601275 ", "champion 1 ", "100% "):
        assert value in text
    assert "created (UTC)" in text


def test_an_empty_list_says_so() -> None:
    assert printed(rows("training runs of elec", COLUMNS, []), 80) == "training runs of elec: none\n"


def test_a_pipe_gets_a_narrow_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    width = stdout_columns()
    assert width == 100
    assert max(map(len, printed(rows("runs", COLUMNS, [RUN]), width).splitlines())) <= 100


def test_progress_in_a_log_is_a_line_per_state(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("requested") as report:
        for share in range(0, 100, 10):
            report(f"run: training {share}%")
        report("run: succeeded 100%")
    assert capsys.readouterr().err.splitlines() == ["requested", "run: training 0%", "run: succeeded 100%"]


@pytest.mark.parametrize(
    ("error", "code"), [(StackError("pip install 'x[torch]' [/red]"), 2), (ApiError(422, "c", "x[torch] [/red]"), 1)]
)
def test_an_error_is_told_to_the_letter(error: Exception, code: int) -> None:
    app = typer.Typer()

    @app.command()
    @reports_errors
    def fail() -> None:
        raise error

    result = CliRunner().invoke(app, [])
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.strip() == str(error)


def test_json_is_json_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    value: list[Any] = [{**RUN, "reason": "[bold]x\u2028"}]
    show(Form.JSON, value, lambda: "")
    assert json.loads(capsys.readouterr().out) == value


@pytest.mark.process
def test_the_command_says_its_version_without_loading_what_only_the_demo_needs() -> None:
    script = (
        "import sys; from modelyard_cli.__main__ import app; "
        "heavy = {'numpy', 'pyarrow', 'aiohttp', 'aiokafka', 'clickhouse_connect'} & set(sys.modules); "
        "print(heavy or 'light'); app(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "light"
    assert done.stdout.splitlines()[1].startswith("modelyard ")
