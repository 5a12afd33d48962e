"""Ugly files for `modelyard train`: refused in one sentence with place and remedy, or read as the preview says."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from modelyard_cli.__main__ import app

ROWS = 600


def table(header: str = "x,plan,label", rows: int = ROWS, row: Callable[[int], str] | None = None) -> str:
    lines = [(row or good)(at) for at in range(rows)]
    return "\n".join([header, *lines]) + "\n"


def good(at: int) -> str:
    return f"{at}.5,{'ab'[at % 2]},{'yes' if at % 3 else 'no'}"


def with_cell(cell: str, place: int = 0, line: int = 10) -> str:
    """The good table with another cell in the line `line`."""
    lines = table().split("\n")
    cells = lines[line - 1].split(",")
    cells[place] = cell
    lines[line - 1] = ",".join(cells)
    return "\n".join(lines)


def run(path: Path, content: str | bytes, *options: str) -> Any:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CliRunner().invoke(app, ["train", "m", str(path), "--dry-run", "-o", "json", *options])


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty; the first line must name"),
    "blank lines only": ("\n\n  \n", "is empty; the first line must name"),
    "header only": ("x,label\n", "0 rows with a target; at least 500 are needed"),
    "one column": (table("label", row=lambda at: str(at % 2)), "must name at least one feature and the target"),
    "semicolons": (table().replace(",", ";"), "separates by ';': set --separator ';'"),
    "tabs": (table().replace(",", "\t"), "separates by 'tab': set --separator 'tab'"),
    "no header": (table("1.5,a,yes"), "the first line must name the columns, but 'yes' is a value"),
    "duplicate header": (table("x,x,label"), "each name once; twice: x"),
    "duplicate after trimming": (table("x, x,label"), "each name once; twice: x"),
    "unnamed column": (table("x,,label"), "column 2 has no name in the first line; give it one"),
    "ragged": (table() + "1,2\n", f"line {ROWS + 2}: 2 fields, but the first line names 3 columns"),
    "a cell too many": (table() + "1,a,yes,5\n", f"line {ROWS + 2}: 4 fields, but the first line names 3 columns"),
    "open quotation mark": (table() + '"' + "x" * 200_000, "is a quotation mark left open"),
    "100,000 columns": (",".join(f"c{at}" for at in range(100_000)), "at most 1000 can be watched, leave some out"),
    "a name of 400 characters": (table("x" * 400 + ",plan,label"), r"name of column 1 has 400 characters; at most 256"),
    "latin-1": (
        table("größe,plan,label").encode("latin-1"),
        "not in UTF-8; save it as CSV in UTF-8, or set --encoding",
    ),
    "utf-16": (table().encode("utf-16"), "not in UTF-8; save it as CSV in UTF-8, or set --encoding utf-16"),
    "excel": (b"PK\x03\x04" + b"x" * 50, "is an Excel workbook or a zip file; save it as CSV"),
    "parquet": (b"PAR1" + b"x" * 50, "cannot be read as a Parquet file"),
    "a word among numbers": (with_cell("oops"), "line 10: column 'x' holds numbers, except in 1 rows such as 'oops'"),
    "underscores": (with_cell("10_1"), "line 10: column 'x' holds numbers, except in 1 rows such as '10_1'"),
    "digits of another script": (with_cell("٣"), "holds numbers, except in 1 rows such as '٣'"),
    "decimal commas": (table(row=lambda at: f'"{at},5",a,{at % 2}'), "column 'x' has decimal commas.*set --decimal ,"),
    "mixed dates": (
        table("date,x,label", row=lambda at: f"{'2026-01-31' if at % 9 else '31/01/2026'},{at},{at % 2}"),
        "line 2: '31/01/2026' is no timestamp in the time column 'date'; write all of them as",
    ),
    "dates of another form": (
        table("date,x,label", row=lambda at: f"{at % 28 + 1}.1.2026,{at},{at % 2}"),
        "line 2: '1.1.2026' is no timestamp in the time column 'date'",
    ),
    "a date missing": (
        table("date,x,label", row=lambda at: f"{'2026-01-31' if at else ''},{at},{at % 2}"),
        "line 2: no value in the time column 'date'",
    ),
    "two time columns": (
        table("date,ts,x,label", row=lambda at: f"2026-01-31,2026-01-31,{at},{at % 2}"),
        "which column is the time: date, ts",
    ),
    "an empty column": (table("x,plan,label", row=lambda at: f"NA,a,{at % 2}"), "'x' has no value in any row"),
    "no label": (table(row=lambda at: f"{at},a,"), "600 of 600 rows have no value of the target column 'label'"),
    "one class": (table(row=lambda at: f"{at},a,yes"), "'label' has the same value in every row"),
    "sorted by the target": (
        table(row=lambda at: f"{at},a,{'no' if at < 400 else 'yes'}"),
        "the newest 120 rows all have 'yes' as 'label'.*sorted by the target.*--time, or set --shuffle",
    ),
    "two targets": (table("class,amount,survived"), "which column is the target: class, survived"),
    "y and outcome": (table("x,y,outcome"), "which column is the target: y, outcome"),
    "the target first": (table("survived,plan,age"), "which column is the target: survived, age"),
    "few integers": (table(row=lambda at: f"{at},a,{at % 5}"), "are they classes or numbers.*--task multiclass or"),
    "too few rows": (table(rows=50), "50 rows with a target; at least 500"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    result = run(tmp_path / "t.csv", content)
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    [line] = result.stderr.splitlines()
    assert re.search(message, line) and len(line) - len(str(tmp_path)) < 400, line


READ: dict[str, tuple[str | bytes, Sequence[str], dict[str, Any]]] = {
    "byte order mark": (b"\xef\xbb\xbf" + table().encode(), (), {"columns": {"x": "number", "plan": "category"}}),
    "windows line ends": (table().replace("\n", "\r\n"), (), {"rows": ROWS, "target": "label"}),
    "empty lines": (table().replace("\n", "\n\n"), (), {"rows": ROWS}),
    "rows without any cell": (table() + ",,\n, ,\n", (), {"rows": ROWS}),
    "rows without a label": (table() + "1,a,\n2,b,NA\n", (), {"rows": ROWS, "left_out": 2, "values": ["no", "yes"]}),
    "semicolons": (table().replace(",", ";"), ("--separator", ";"), {"rows": ROWS}),
    "tabs": (table().replace(",", "\t"), ("--separator", "tab"), {"rows": ROWS}),
    "decimal commas": (
        table().replace(",", ";").replace(".5", ",5"),
        ("--separator", ";", "--decimal", ","),
        {"columns": {"x": "number", "plan": "category"}},
    ),
    "latin-1": (
        table("größe,plan,label").encode("latin-1"),
        ("--encoding", "latin-1"),
        {"columns": {"größe": "number", "plan": "category"}},
    ),
    "line break in a name": (
        table('größe,"plan\nname",left'),
        (),
        {"columns": {"größe": "number", "plan\nname": "category"}, "target": "left"},
    ),
    "names of ours": (
        table("label,occurred_at,prediction_id,num,target", row=lambda at: f"{at},{at},{at},{at},{at % 2}"),
        ("--target", "target", "--time", "none"),
        {"columns": dict.fromkeys(("label", "occurred_at", "prediction_id", "num"), "integer")},
    ),
    "NA in a number": (with_cell("NA"), (), {"missing": {"x": 1}}),
    "other missing words": (
        table(row=lambda at: f"{['null', '-', 'NaN', '?', 'n/a'][at % 5] if at % 2 else at},a,{at % 3 // 2}"),
        (),
        {"missing": {"x": ROWS // 2}, "columns": {"x": "integer", "plan": "category"}},
    ),
    "numbers beyond float32": (with_cell("1e39"), (), {"columns": {"x": "number", "plan": "category"}}),
    "infinite": (with_cell("inf"), (), {"columns": {"x": "number", "plan": "category"}}),
    "Target in capitals": (table("x,plan,Target"), (), {"target": "Target"}),
    "last column": (table("x,plan,left"), (), {"target": "left"}),
    "an hour named time": (
        table("time,plan,label"),
        (),
        {"time": None, "columns": {"time": "number", "plan": "category"}},
    ),
    "weekdays named date": (
        table("plan,date,label"),
        (),
        {"time": None, "columns": {"plan": "number", "date": "category"}},
    ),
    "shuffled": (table(row=lambda at: f"{at},a,{'no' if at < 400 else 'yes'}"), ("--shuffle",), {"rows": ROWS}),
    "signs as classes": (table(row=lambda at: f"{at},a,{'+-'[at % 2]}"), (), {"values": ["+", "-"]}),
}


@pytest.mark.parametrize(("content", "options", "wanted"), READ.values(), ids=READ)
def test_an_ugly_file_that_can_be_used_is_read(
    tmp_path: Path, content: str | bytes, options: Sequence[str], wanted: dict[str, Any]
) -> None:
    result = run(tmp_path / "t.csv", content, *options)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert {name: found[name] for name in wanted} == wanted


NOTED: dict[str, tuple[str, str]] = {
    "leading zeros": (
        table(row=lambda at: f"{at:05},a,{at % 2}"),
        "column 'x' has leading zeros ('00000'), so",
    ),
    "identifiers": (table(row=lambda at: f"id{at},a,{at % 2}"), "column 'x' has 600 different values; if it is an"),
    "blanks around values": (with_cell(" a ", place=1), "column 'plan': blanks around 1 values were removed"),
    "NA as a category": (
        with_cell("NA", place=1),
        "column 'plan': NA in 1 rows is a category; leave these",
    ),
    "missing": (with_cell("NA"), "x (number, 1 missing)"),
    "blank rows": (table() + ",,\n", "600 rows, 1 blank ones left out"),
    "the last column": (
        table("x,plan,left"),
        "target: left (yes 400, no 200) (the last column; --target",
    ),
    "time": (table("time,x,label", row=lambda at: f"2026-01-01,{at},{at % 2}"), "time: time"),
    "order": (table(), "time: order of the rows"),
    "split": (table(), "split: 480 rows to learn from, the newest 120 held out"),
    "accuracy": (table(), "metric: accuracy"),
    "rare class": (
        table(rows=3000, row=lambda at: f"{at},a,{'yes' if at % 25 == 0 else 'no'}"),
        "metric: macro F1, as 96.0% of the rows have one class",
    ),
    "a larger hold-out for a rare class": (
        table(rows=4000, row=lambda at: f"{at},a,{'yes' if at % 30 == 0 else 'no'}"),
        "split: 3420 rows to learn from, the newest 580 held out",
    ),
    "too few of a class": (
        table(rows=3000, row=lambda at: f"{at},a,{'yes' if at % 600 == 0 else 'no'}"),
        "doubt: only 1 held-out rows are not of the commonest class; 20 are needed",
    ),
}


@pytest.mark.parametrize(("content", "line"), NOTED.values(), ids=NOTED)
def test_the_preview_reports_how_the_file_is_read(tmp_path: Path, content: str, line: str) -> None:
    result = run(tmp_path / "t.csv", content)
    assert result.exit_code == 0 and line in result.stderr, result.stderr
