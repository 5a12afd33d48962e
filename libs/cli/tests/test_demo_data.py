"""A file that fits is read as a stream; one that does not is refused with the place and the remedy."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from modelyard_cli.demo import data, elec2
from modelyard_cli.demo.command import steady_rate
from modelyard_cli.demo.data import MIN_ROWS, read_csv
from modelyard_cli.demo.first import rollout_policy
from modelyard_contracts.signature import Task
from modelyard_contracts.tables.inference import Choices
from modelyard_contracts.tables.table import UnfitFile


def write(path: Path, header: str, row: str, rows: int = MIN_ROWS) -> Path:
    """A table of equal rows whose last column alternates between no and yes."""
    lines = [f"{row},{'yes' if number % 2 else 'no'}" for number in range(rows)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_columns_are_numbers_or_words_and_the_rest_is_the_target(tmp_path: Path) -> None:
    path = write(tmp_path / "My Data.csv", "age,plan,note,target", "41.5,pro,")
    path.write_text(f"{path.read_text()}40,pro,7,no\n")
    stream = read_csv(path)
    assert (stream.name, stream.rows, stream.classes) == ("my-data", MIN_ROWS + 1, ("no", "yes"))
    assert (stream.numeric, stream.categorical) == (("age", "note"), ("plan",))
    assert stream.features(0) == {"age": 41.5, "note": None, "plan": "pro"}


def test_the_target_is_found_by_its_name_else_it_is_the_last_column(tmp_path: Path) -> None:
    lines = [f"{'ab'[number % 2]},{number}" for number in range(MIN_ROWS)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["label,size", *lines]))
    assert read_csv(path).numeric == ("size",)


@pytest.mark.parametrize(
    ("header", "row", "rows", "complaint"),
    [
        ("a,target", "1", 10, f"10 rows; at least {MIN_ROWS} are needed"),
        ("target", "", MIN_ROWS, "must name at least one feature"),
        ("a,a,target", "1,2", MIN_ROWS, "each name once"),
        ("a,b,target", "1", MIN_ROWS, "line 2: 2 fields, but the first line names 3"),
    ],
)
def test_an_unfit_table_is_refused(tmp_path: Path, header: str, row: str, rows: int, complaint: str) -> None:
    with pytest.raises(UnfitFile, match=complaint):
        read_csv(write(tmp_path / "x.csv", header, row, rows))


def test_a_target_has_classes_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,target", *(f"1,{'abc'[number % 3]}" for number in range(MIN_ROWS))]))
    assert (read_csv(path).task, read_csv(path).classes) == (Task.MULTICLASS, ("a", "b", "c"))
    path.write_text("\n".join(["a,target", *(f"1,{number / 2}" for number in range(MIN_ROWS))]))
    stream = read_csv(path)
    assert (stream.task, stream.classes, stream.labels[3]) == (Task.REGRESSION, (), 1.5)
    path.write_text("\n".join(["a,target", *(f"1,{number % 3}" for number in range(MIN_ROWS))]))
    with pytest.raises(UnfitFile, match="are they classes or numbers"):
        read_csv(path)
    assert read_csv(path, choices=Choices(task=Task.REGRESSION)).classes == ()


def test_a_time_column_orders_the_rows_and_other_types_become_numbers_or_words(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = [
        f"2026-01-01T00:{59 - at % 60:02}:00Z,{at},1970-01-01 00:00:0{at % 9},true,{'ab'[at % 2]}"
        for at in range(MIN_ROWS)
    ]
    path.write_text("\n".join(["time,x,since,open,label", *lines]))
    stream = read_csv(path)
    assert (stream.numeric, stream.categorical, stream.target) == (("x", "since"), ("open",), "label")
    assert stream.numbers[0].tolist() == [59, 5] and stream.words[0].tolist() == ["true"]
    assert read_csv(path, choices=Choices(time="none")).numeric == ("time", "x", "since")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitFile, match="cannot read"):
        read_csv(tmp_path / "none.csv")


def test_infinite_numbers_count_as_missing(tmp_path: Path) -> None:
    lines = [f"{'inf' if number else 1},{'ab'[number % 2]}" for number in range(MIN_ROWS)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,target", *lines]))
    assert np.isnan(read_csv(path).numbers).sum() == MIN_ROWS - 1


GOOD = [f"{number}.5,{'ab'[number % 3 % 2]},{number % 2}" for number in range(MIN_ROWS)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty; the first line must name"),
        ("\n".join(line.replace(",", ";") for line in ["x,y,target", *GOOD]), "separates by ';': set --separator ';'"),
        ("\n".join([*GOOD, GOOD[0]]), "must name the columns, but '0' is a value of the target column"),
        ("\n".join(["x,c,z", *(f"{it[:-1]}{at % 9}" for at, it in enumerate(GOOD))]), "are they classes or numbers"),
        ("\n".join(["x,y,target", *GOOD, "oops,a,1"]), f"line {MIN_ROWS + 2}: column 'x' .* 'oops'; correct"),
        ("\n".join(["x,y,target", *sorted(GOOD, key=lambda it: it[-1])]), "first 300 rows, and 0 of them are '1'"),
    ],
)
def test_a_file_that_cannot_be_streamed_is_refused_in_one_line_with_the_remedy(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UnfitFile, match=complaint) as refused:
        data.load(path, tmp_path)
    assert "\n" not in str(refused.value)


def test_a_byte_order_mark_and_blank_lines_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "Ünfit name (1).csv"
    path.write_text("\n".join(["x,y,target", *GOOD, "", ""]), encoding="utf-8-sig")
    stream = data.load(path, tmp_path)
    assert (stream.rows, stream.numeric, stream.name) == (MIN_ROWS, ("x",), "nfit-name-1")


def test_a_cached_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elec2.csv").write_text("a,b\n")
    with pytest.raises(UnfitFile, match="is not the file it should be"):
        elec2.fetch(tmp_path)


@pytest.mark.parametrize(("rows", "per_s"), [(45_312, 170), (3_000, 11), (500, 10), (10**6, 250)])
def test_a_stream_takes_four_minutes_unless_it_is_too_short_or_too_long_for_that(rows: int, per_s: int) -> None:
    stream = SimpleNamespace(rows=rows)
    assert round(steady_rate(stream)) == per_s  # type: ignore[arg-type]


def test_a_canary_of_a_slow_stream_asks_for_fewer_answers() -> None:
    assert [rollout_policy(rate).min_samples for rate in (10, 100, 170, 500)] == [20, 20, 34, 60]
