"""The rule for values and rows in ClickHouse SQL gives the same answers as in Python."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import clickhouse_connect
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_contracts.usable import is_missing, labelled_rows, parse_number, row_problem, sql, usable_number
from modelyard_devstack.testing.cells import cells

pytestmark = [pytest.mark.server, pytest.mark.slow]
Query = Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]]
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = f"""
SELECT {sql.is_missing("cell")}, {sql.parse_number("cell")} AS number, {sql.usable_number("number")}
FROM (SELECT arrayJoin({{cells:Array(String)}}) AS cell)
"""


@pytest.fixture(scope="module")
def query(devclickhouse: Any) -> Iterator[Query]:
    reader = devclickhouse.reader
    client = clickhouse_connect.get_client(
        dsn=devclickhouse.url, username=reader.user, password=reader.password, interface="http"
    )
    with client:
        yield lambda text, parameters: client.query(text, parameters=parameters).result_rows


def without_nul(cell: str) -> bool:
    """Parameters of ClickHouse cannot hold NUL."""
    return "\x00" not in cell


@FEW
@given(st.lists(cells().filter(without_nul), min_size=1, max_size=50))
@example(
    ["1\n", "\x0b1", "ſ", "ınf", "K", "+.5", "+1e400", "1" * 400, "-" + "9" * 30, "1.7976931348623157e309", "5.", ".5"]
)
def test_clickhouse_and_python_agree_on_every_cell(query: Query, found: list[str]) -> None:
    for cell, (missing, number, usable) in zip(found, query(CELLS, {"cells": found}), strict=True):
        wanted = parse_number(cell)
        assert bool(missing) == is_missing(cell), cell
        assert (number is None) == (wanted is None), cell
        if number is not None and wanted is not None:
            assert number == wanted or math.isclose(number, wanted, rel_tol=1e-14), cell  # the last digit may differ
            assert bool(usable) == usable_number(wanted), cell


def signature(task: Task) -> Signature:
    columns = (Column(name="x"), Column(name="plan", type=ColumnType.CATEGORY))
    return Signature(columns=columns, output=Output(task=task, classes=("no", "yes") if task.classifies else ()))


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
@FEW
@given(data=st.data())
def test_clickhouse_and_python_agree_on_every_labelled_row(query: Query, task: Task, data: st.DataObject) -> None:
    known = signature(task)
    conditions = labelled_rows({"fs-1": known})
    label = data.draw(st.none() | st.sampled_from(["no", "yes", "YES", "1", ""]) | cells().filter(without_nul))
    value = data.draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
    numbers, texts = [1.0] * data.draw(st.integers(0, 2)), ["a"] * data.draw(st.integers(0, 2))
    row = """(SELECT 'fs-1' AS feature_schema_id, {numbers:Array(Nullable(Float64))} AS num_features,
        {texts:Array(Nullable(String))} AS cat_features, {label:Nullable(String)} AS label,
        {value:Nullable(Float64)} AS value)"""
    parameters = {"numbers": numbers, "texts": texts, "label": label, "value": value, **conditions.parameters}
    found = query(f"SELECT {conditions.labelled}, {conditions.usable} FROM {row}", parameters)
    [(labelled, usable)] = found
    assert bool(usable) == (row_problem(known, numbers, texts, label, value) is None)
    assert labelled or not usable or value is not None, "a usable row has a label"
