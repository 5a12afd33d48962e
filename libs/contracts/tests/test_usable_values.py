"""The rule for values: examples by hand, and the same answer in Python and in Arrow for any cell."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_contracts.usable import (
    LARGEST_NUMBER,
    arrow,
    cell_value,
    column_type,
    is_missing,
    parse_number,
    parse_timestamp,
    row_problem,
    strays,
    usable_number,
)
from modelyard_contracts.usable.rows import usable_label
from modelyard_devstack.testing.cells import cells


@pytest.mark.parametrize(
    "cell", ["", " ", "\t", "NA", "n/a", "null", "NULL", "NaN", "nan", "-", " - ", "None", "?", "#N/A"]
)
def test_words_that_mean_a_missing_value(cell: str) -> None:
    assert is_missing(cell) and cell_value(cell, ColumnType.NUMBER) is None


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1", 1), (" -2.5e3 ", -2500), ("+7", 7), (".5", 0.5), ("5.", 5), ("0", 0), ("-0.0", 0), ("1e999", math.inf)],
)
def test_numbers_by_the_grammar_of_json_and_csv_tools(cell: str, number: float) -> None:
    assert parse_number(cell) == number


@pytest.mark.parametrize(
    "cell", ["10_1", "1_01", "٣", "१", "00123", "007.5", "1,5", "1 000", "0x1F", "1e", ".", "½", "--1", "１"]
)
def test_texts_that_are_no_numbers(cell: str) -> None:
    assert parse_number(cell) is None
    assert column_type({cell: 5, "12": 5}) is ColumnType.CATEGORY
    with pytest.raises(ValueError, match="is not of the type number"):
        cell_value(cell, ColumnType.NUMBER)


def test_numbers_beyond_float32_are_not_usable() -> None:
    usable = [usable_number(value) for value in (0.0, LARGEST_NUMBER, -LARGEST_NUMBER, 1e39, math.inf, math.nan, None)]
    assert usable == [True, True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31 12:30", "2026-01-31T12:30:00+00:00"),
        ("2026-01-31T12:30:00.25+02:00", "2026-01-31T10:30:00.250000+00:00"),
        ("2026-01-31 12:30:00 +0200", "2026-01-31T10:30:00+00:00"),
        ("2026-01-31t12:30:00z", "2026-01-31T12:30:00+00:00"),
        ("31/01/2026", None),
        ("2026-13-01", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("20260131", None),
        ("٢٠٢٦-01-31", None),
    ],
)
def test_timestamps_are_iso_8601_and_utc_without_a_zone(cell: str, moment: str | None) -> None:
    found = parse_timestamp(cell)
    assert (found.isoformat() if found else None) == moment


@pytest.mark.parametrize(
    ("counts", "type_"),
    [
        ({"1": 3, "NA": 2}, ColumnType.INTEGER),
        ({"1": 3, "2.5": 2, "-": 1}, ColumnType.NUMBER),
        ({"1": 3, "inf": 1}, ColumnType.NUMBER),
        ({"00123": 1, "00124": 1, "1": 8}, ColumnType.CATEGORY),
        ({"true": 1, "False": 1, "": 3}, ColumnType.BOOLEAN),
        ({"2026-01-01": 1, "2026-01-01T10:00:00Z": 1}, ColumnType.TIMESTAMP),
        ({"pro": 5, "NA": 5}, ColumnType.CATEGORY),
        ({f"many words in a long comment, number {at}": 1 for at in range(50)}, ColumnType.TEXT),
        ({"12345678901234567890": 4}, ColumnType.NUMBER),
        ({"": 4, "null": 2}, None),
    ],
)
def test_the_type_of_a_column_is_the_narrowest_that_fits(counts: dict[str, int], type_: ColumnType | None) -> None:
    assert column_type(counts) is type_


def test_a_few_words_among_numbers_are_strays_and_identifiers_are_not() -> None:
    numbers = {str(at): 1 for at in range(100)}
    assert strays({**numbers, "oops": 2, "NA": 50}) == (ColumnType.NUMBER, ("oops",))
    assert strays({**numbers, "0017": 2}) is None
    assert strays(numbers) is None
    assert strays({"1": 5, "a": 5}) is None
    dates = {f"2026-01-{day:02}": 1 for day in range(1, 29)}
    assert strays({**dates, "31/01/2026": 1}) == (ColumnType.TIMESTAMP, ("31/01/2026",))


@given(st.lists(cells(), max_size=20))
@example(["1\n", "\x0b1", "1\x00", "ſ", "ınf", "K", "+.5", "+1e400"])
def test_python_and_arrow_agree_on_every_cell(found: list[str]) -> None:
    column = pa.array(found, pa.string())
    assert arrow.is_missing(column).to_pylist() == [is_missing(cell) for cell in found]
    values, fits = arrow.parse_numbers(column)
    numbers = [parse_number(cell) for cell in found]
    assert fits.tolist() == [number is not None for number in numbers]
    np.testing.assert_array_equal(values, [math.nan if number is None else number for number in numbers])
    assert arrow.usable_numbers(values).tolist() == [usable_number(number) for number in numbers]


@given(cells())
def test_a_cell_of_the_inferred_type_has_a_value_of_that_type(cell: str) -> None:
    type_ = column_type({cell: 1})
    if type_ is not None:
        assert cell_value(cell, type_) is not None


def signature(task: Task) -> Signature:
    columns = (Column(name="x"), Column(name="plan", type=ColumnType.CATEGORY))
    return Signature(columns=columns, output=Output(task=task, classes=("no", "yes") if task.classifies else ()))


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
@given(st.data())
def test_python_and_arrow_agree_on_every_row(task: Task, data: st.DataObject) -> None:
    known, sizes = signature(task), st.integers(0, 2)
    labels = data.draw(st.lists(st.none() | st.sampled_from(["no", "yes", "YES", "1"]) | cells(), max_size=8))
    rows = [
        (
            data.draw(sizes),
            data.draw(sizes),
            label,
            data.draw(st.none() | st.floats()),
        )
        for label in labels
    ]
    table = {
        "num_features": pa.array([[1.0] * row[0] for row in rows], pa.list_(pa.float64())),
        "cat_features": pa.array([["a"] * row[1] for row in rows], pa.list_(pa.string())),
    }
    fits = arrow.fits_signature(table, known).to_pylist()
    values = pa.array([row[3] for row in rows], pa.float64())
    usable = arrow.usable_labels(pa.array(labels, pa.string()), values, known).to_pylist()
    found = [None if fit and ok else "label" if fit else "features" for fit, ok in zip(fits, usable, strict=True)]
    assert found == [row_problem(known, [1.0] * row[0], ["a"] * row[1], *row[2:]) for row in rows]
    assert usable == [usable_label(known, *row[2:]) for row in rows]
