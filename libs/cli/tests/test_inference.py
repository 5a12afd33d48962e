"""How `modelyard train` reads a CSV file: shown before training, and an error where it is ambiguous."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from modelyard_cli.__main__ import app
from modelyard_contracts.signature import ColumnType, Task
from modelyard_contracts.tables.arrow import arrow_table
from modelyard_contracts.tables.inference import Ambiguous, Choices, TrainingPlan, infer
from modelyard_contracts.tables.reading import previewed
from modelyard_contracts.tables.table import UnfitFile, read_table

Write = Callable[..., Path]
ROWS = 600


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A CSV file of columns; each is a list of cells that is repeated."""

    def file(rows: int = ROWS, **columns: Sequence[object]) -> Path:
        lines = [",".join(columns)]
        lines += [",".join(str(cells[row % len(cells)]) for cells in columns.values()) for row in range(rows)]
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return file


def plan(path: Path, **choices: object) -> TrainingPlan:
    return infer(read_table(path), Choices(**choices))  # type: ignore[arg-type]  # names of the fields


def test_types_are_the_narrowest_that_fit(write: Write) -> None:
    path = write(
        price=[1.5, "", 2],
        count=[1, 2, 3],
        open=["true", "False", ""],
        city=["Rome", "Oslo"],
        seen=["2026-01-02", "2026-01-02T03:04:05Z"],
        comment=[f"a comment of many words, number {at}".replace(",", ";") for at in range(200)],
        label=["yes", "no"],
    )
    assert plan(path, time="none").types == {
        "price": ColumnType.NUMBER,
        "count": ColumnType.INTEGER,
        "open": ColumnType.BOOLEAN,
        "city": ColumnType.CATEGORY,
        "seen": ColumnType.TIMESTAMP,
        "comment": ColumnType.TEXT,
    }


def test_a_column_is_left_out_of_features_and_file(write: Write) -> None:
    path = write(id=[f"c{at}" for at in range(600)], x=[1.5, 2], label=["yes", "no"])
    found = plan(path, left_out=frozenset({"id"}))
    assert list(found.types) == ["x"]
    assert arrow_table(read_table(path), found).column_names == ["x", "label"]
    assert "left out: id" in list(previewed(read_table(path), found).lines())
    with pytest.raises(UnfitFile, match="--column label=none: it is the target; name another one by --target"):
        plan(path, left_out=frozenset({"label"}))
    with pytest.raises(UnfitFile, match="--column ix: no such column"):
        plan(path, left_out=frozenset({"ix"}))


def test_a_column_of_times_that_is_a_feature_is_a_note(write: Write) -> None:
    path = write(joined=["2026-01-02", "2026-01-03", "2026-01-04"], x=[1.5, 2], label=["yes", "no"])
    [note] = previewed(read_table(path), plan(path)).notes
    assert "column 'joined' holds times and is a feature; if it is when a row happened, name it by --time" in note
    assert previewed(read_table(path), plan(path, time="joined")).notes == ()


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["yes", "no"], Task.BINARY),
        ([0, 1], Task.BINARY),
        (["a", "b", "c"], Task.MULTICLASS),
        ([1.5, 2.5, 3.5], Task.REGRESSION),
        (list(range(50)), Task.REGRESSION),
    ],
)
def test_the_task_follows_from_the_target(write: Write, values: list[object], task: Task) -> None:
    assert plan(write(x=[1, 2], target=values)).task is task


def test_few_integers_are_classes_or_numbers_and_the_option_decides(write: Write) -> None:
    path = write(x=[1, 2], target=[1, 2, 3, 4, 5])
    with pytest.raises(Ambiguous, match="--task multiclass or --task regression"):
        plan(path)
    assert plan(path, task=Task.REGRESSION).values == ()
    assert plan(path, task=Task.MULTICLASS).values == ("1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (("x", "Target"), "Target"),
        (("x", "z"), "z"),
        (("x", "label"), "label"),
    ],
)
def test_the_target_is_the_usual_name_or_the_last_column(write: Write, header: tuple[str, ...], target: str) -> None:
    assert plan(write(**{name: ["a", "b"] for name in header})).target == target


@pytest.mark.parametrize("header", [("class", "amount", "survived"), ("x", "y", "outcome"), ("class", "y", "x")])
def test_more_than_one_possible_target_is_an_error_that_lists_them(write: Write, header: tuple[str, ...]) -> None:
    path = write(**{name: ["a", "b"] for name in header})
    with pytest.raises(Ambiguous, match=r"which column is the target: .*Name it by --target"):
        plan(path)
    assert plan(path, target=header[-1]).target == header[-1]


def test_a_time_column_is_no_feature(write: Write) -> None:
    path = write(timestamp=["2026-01-01", "2026-01-02"], x=[1, 2], y=["a", "b"])
    assert (plan(path).time, list(plan(path).types)) == ("timestamp", ["x"])
    assert plan(path, time="none").types["timestamp"] is ColumnType.TIMESTAMP
    two = write(timestamp=["2026-01-01"], date=["2026-01-01"], x=[1, 2], y=["a", "b"])
    with pytest.raises(Ambiguous, match="which column is the time"):
        plan(two)


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"target": "z"}, "--target z: no such column; it has x, label"),
        ({"time": "z"}, "--time z: no such column"),
        ({"types": {"z": ColumnType.TEXT}}, "--column z: no such column"),
        ({"task": Task.REGRESSION}, "is not numeric: 'a'; use --task multiclass"),
        ({"task": Task.BINARY}, "has 3 values, and a binary target has 2"),
    ],
)
def test_a_choice_that_does_not_fit_is_an_error_with_the_remedy(
    write: Write, choices: dict[str, object], problem: str
) -> None:
    with pytest.raises(UnfitFile, match=problem):
        plan(write(x=[1, 2], label=["a", "b", "c"]), **choices)


def test_the_table_has_types_and_keeps_missing_cells(write: Write) -> None:
    path = write(rows=2, time=["2026-01-01T00:00:00Z", "2026-01-02"], x=[1, ""], b=["true", ""], y=[1.5, 2.5])
    table = read_table(path)
    found = arrow_table(table, infer(table, Choices(task=Task.REGRESSION)))
    assert found.schema.field("x").type == pa.int64()
    assert found.to_pylist()[1] == {
        "x": None,
        "b": None,
        "y": 2.5,
        "time": datetime(2026, 1, 2, tzinfo=UTC),
    }


def test_a_cell_that_does_not_fit_its_type_names_the_line(write: Write) -> None:
    path = write(rows=600, x=["1", "many"], y=["a", "b"])
    table = read_table(path)
    with pytest.raises(UnfitFile, match=r"line 3: 'many' of column 'x' is not of the type number; correct it"):
        arrow_table(table, infer(table, Choices(types={"x": ColumnType.NUMBER})))


def test_a_dry_run_shows_the_plan_and_trains_nothing(write: Write) -> None:
    path = write(x=[1, 2], city=["Rome", "Oslo"], amount=[1.5, 2.5, 4.25])
    result = CliRunner().invoke(app, ["train", "m", str(path), "--dry-run", "-o", "json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["task"] == "regression"
    assert "task: regression, target: amount" in result.stderr
    assert "x (integer), city (category)" in result.stderr


def test_an_ambiguous_file_exits_with_2_and_the_question(write: Write) -> None:
    result = CliRunner().invoke(app, ["train", "m", str(write(x=[1, 2], target=[1, 2, 3])), "--dry-run"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "are they classes or numbers?" in result.stderr
