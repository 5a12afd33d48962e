"""Training files: formats, inferred signatures, and values of every column type."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_trainer.domain.data import DataSpec, differences
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.worker.dataset import Dataset, rows_of
from modelyard_trainer.worker.live import Names, table_of
from modelyard_trainer.worker.signature import signature_of
from modelyard_trainer.worker.table import column_types, read_table

from .helpers.data import START, all_types_table, moments, text_table, training_signature, training_table

VALUE = DataSpec(target="value")


def inferred(table: pa.Table, spec: DataSpec) -> Signature:
    return signature_of(table, spec, spec.time or "", None)


def test_rows_are_sorted_by_time(tmp_path: Path) -> None:
    table = training_table().take(pa.array(np.random.default_rng(0).permutation(400)))
    pq.write_table(table, tmp_path / "data.parquet")
    ordered, time = read_table(tmp_path / "data.parquet", DataSpec())
    assert ordered[time].to_pylist() == sorted(table["occurred_at"].to_pylist())


def test_a_file_that_is_neither_parquet_nor_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'a,"b\n1')
    with pytest.raises(BadRequest, match="is neither a parquet nor a CSV file"):
        read_table(tmp_path / "x", DataSpec())


def test_a_csv_file_without_times_is_read_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('größe,"plan\nname",left\n1.5,a,yes\nNA,-,no\n,b,yes\n')
    spec = DataSpec(target="left", time=None)
    table, time = read_table(tmp_path / "x.csv", spec, as_of_s=100.0)
    assert table["größe"].to_pylist() == [1.5, None, None] and table["plan\nname"].to_pylist() == ["a", "-", "b"]
    assert [moment.timestamp() for moment in table[time].to_pylist()] == [97, 98, 99]
    signature = signature_of(table, spec, time, None)
    assert [(c.name, c.type) for c in signature.columns] == [
        ("größe", ColumnType.NUMBER),
        ("plan\nname", ColumnType.CATEGORY),
    ]


def test_every_column_type_is_inferred() -> None:
    signature = inferred(all_types_table(), VALUE)
    assert {column.name: column.type.value for column in signature.columns} == {
        "amount": "number",
        "count": "integer",
        "member": "boolean",
        "since": "timestamp",
        "plan": "category",
        "note": "text",
    }
    assert (signature.input, signature.output) == ("columns", Output(task=Task.REGRESSION, name="value"))


def test_a_single_text_column_is_the_input_text() -> None:
    signature = inferred(text_table(), DataSpec())
    assert (signature.input, signature.task) == ("text", Task.MULTICLASS)
    assert signature.classes == ("complaint", "praise", "question")


def test_types_can_be_stated() -> None:
    signature = inferred(all_types_table(), DataSpec(target="value", columns={"count": ColumnType.CATEGORY}))
    assert signature.columns[1].type is ColumnType.CATEGORY
    with pytest.raises(BadRequest, match="the file has no column speed"):
        inferred(all_types_table(), DataSpec(target="value", columns={"speed": ColumnType.NUMBER}))


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["no", "yes"] * 50, Task.BINARY, ("no", "yes")),
        ([True, False] * 50, Task.BINARY, ("false", "true")),
        ([1, 0] * 50, Task.BINARY, ("0", "1")),
        (["a", "b", "c", "d"] * 25, Task.MULTICLASS, ("a", "b", "c", "d")),
        ([n * 0.5 for n in range(100)], Task.REGRESSION, ()),
        (list(range(100)), Task.REGRESSION, ()),
    ],
    ids=["two words", "booleans", "two integers", "words", "floats", "many integers"],
)
def test_the_task_follows_the_target(target: list[Any], task: Task, classes: tuple[str, ...]) -> None:
    table = pa.table({"x": np.arange(100.0), "label": target, "occurred_at": moments(100)})
    signature = inferred(table, DataSpec())
    assert (signature.task, signature.classes) == (task, classes)


def test_a_few_integers_are_ambiguous_until_the_task_is_stated() -> None:
    table = pa.table({"x": np.arange(100.0), "label": [n % 10 for n in range(100)], "occurred_at": moments(100)})
    with pytest.raises(BadRequest, match="10 integer values, which may be classes or values") as error:
        inferred(table, DataSpec())
    assert error.value.field == "task"
    classes = inferred(table, DataSpec(task=Task.MULTICLASS)).classes
    assert classes == tuple(str(n) for n in range(10))
    assert inferred(table, DataSpec(task=Task.REGRESSION)).classes == ()


def test_a_task_that_the_target_cannot_have_is_refused() -> None:
    table = training_table()
    spec = DataSpec(task=Task.REGRESSION)
    with pytest.raises(BadRequest, match=r"column label: 400 values are not of the type number, such as '(UP|DOWN)'"):
        rows_of(Dataset(table, inferred(table, spec), "label", "occurred_at"))
    three = pa.table({"x": np.arange(99.0), "label": ["a", "b", "c"] * 33, "occurred_at": moments(99)})
    with pytest.raises(BadRequest, match="binary needs 2 classes; label has 3"):
        inferred(three, DataSpec(task=Task.BINARY))


def test_columns_become_matrices_with_their_missing_values() -> None:
    table = all_types_table()
    rows = rows_of(Dataset(table, inferred(table, VALUE), "value", "occurred_at"))
    assert rows.numeric.shape == (300, 4) and rows.categorical.shape == (300, 2)
    assert np.isnan(rows.numeric[:, 1]).sum() == 6  # every fiftieth count
    assert set(rows.numeric[:, 2]) == {0.0, 1.0}
    assert rows.numeric[0, 3] == table["since"][0].as_py().timestamp()
    assert None in set(rows.categorical[:, 0]) and rows.targets.dtype == np.float64


def column_of(values: list[Any], kind: ColumnType) -> Any:
    table = pa.table({"x": values, "label": ["a", "b"] * (len(values) // 2), "occurred_at": moments(len(values))})
    signature = Signature(columns=(Column(name="x", type=kind),), output=Output(task=Task.BINARY, classes=("a", "b")))
    return rows_of(Dataset(table, signature, "label", "occurred_at")).numeric[:, 0]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (ColumnType.NUMBER, ["1.5", "NA", "", "null", "NaN", "-", " 2 ", None], [1.5, *[np.nan] * 5, 2, np.nan]),
        (ColumnType.INTEGER, ["3", "NA"], [3, np.nan]),
        (ColumnType.BOOLEAN, ["true", "False", "1", "0"], [1, 0, 1, 0]),
        (ColumnType.TIMESTAMP, ["2026-01-01T00:00:00Z", "12.5"], [START.timestamp(), 12.5]),
        (ColumnType.TIMESTAMP, ["2026-01-01", "2026-01-01 00:00:01"], [START.timestamp(), START.timestamp() + 1]),
        (ColumnType.NUMBER, [1, 2], [1, 2]),
        (ColumnType.NUMBER, [1e39, 1.7e308], [1e39, 1.7e308]),
    ],
)
def test_texts_are_parsed_by_the_column_type(kind: ColumnType, values: list[Any], expected: list[float]) -> None:
    np.testing.assert_array_equal(column_of(values, kind), expected)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (ColumnType.NUMBER, ["1", "x", "10_1", "١"], "3 values are not of the type number, such as 'x', '10_1', '١'"),
        (ColumnType.INTEGER, [1.0, 2.5], "1 values are not of the type integer, such as 2.5"),
        (ColumnType.BOOLEAN, ["yes", "true"], "1 values are not of the type boolean, such as 'yes'"),
        (ColumnType.TIMESTAMP, ["01/02/2026", "1"], "1 values are not of the type timestamp, such as '01/02/2026'"),
    ],
)
def test_values_of_another_type_are_named(kind: ColumnType, values: list[Any], message: str) -> None:
    with pytest.raises(BadRequest, match=f"column x: {message}"):
        column_of(values, kind)


@pytest.mark.parametrize(
    ("arrow_type", "kind", "fits"),
    [
        ("double", ColumnType.NUMBER, True),
        ("int64", ColumnType.CATEGORY, False),
        ("string", ColumnType.NUMBER, True),  # its values are checked by the worker
        ("dictionary<values=string, indices=int32, ordered=0>", ColumnType.CATEGORY, True),
        ("timestamp[us, tz=UTC]", ColumnType.NUMBER, False),
        ("bool", ColumnType.CATEGORY, False),
        ("list<item: double>", ColumnType.NUMBER, False),
    ],
)
def test_an_arrow_type_fits_a_column_type_or_is_a_difference(arrow_type: str, kind: ColumnType, fits: bool) -> None:
    signature = Signature(columns=(Column(name="x", type=kind),), output=Output(task=Task.REGRESSION))
    assert (differences(signature, {"x": arrow_type}) == []) is fits


def test_stored_predictions_of_every_type_become_the_same_rows() -> None:
    table = all_types_table()
    signature = inferred(table, VALUE)
    rows = rows_of(Dataset(table, signature, "value", "occurred_at"))
    found = pa.table(
        {
            "num_features": [[None if np.isnan(v) else v for v in row] for row in rows.numeric.tolist()],
            "cat_features": rows.categorical.tolist(),
            "truth": rows.targets.tolist(),
            "predicted_at": table["occurred_at"],
            "prediction_id": [str(n) for n in range(300)],
        }
    )
    live = table_of(found, signature)
    names = Names.beside(signature)

    again = rows_of(Dataset(live, signature, names.target, names.time))

    assert column_types(live)["since"] == "timestamp[us, tz=UTC]"
    np.testing.assert_array_equal(again.numeric, rows.numeric)
    np.testing.assert_array_equal(again.targets, rows.targets)
    assert again.categorical.tolist() == rows.categorical.tolist()


def test_names_of_a_snapshot_avoid_the_features() -> None:
    signature = training_signature().model_copy(update={"columns": (Column(name="label"), Column(name="_label"))})
    assert Names.beside(signature) == Names("__label", "occurred_at", "prediction_id")
