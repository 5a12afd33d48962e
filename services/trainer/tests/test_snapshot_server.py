"""The snapshot's SQL on a real ClickHouse: which rows, in which order, as of when."""

from datetime import timedelta
from typing import Any

import clickhouse_connect
import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_trainer.worker.clickhouse import clickhouse
from modelyard_trainer.worker.snapshot import Statements

from .helpers.data import START

COLUMNS = (Column(name="x"), Column(name="kind", type=ColumnType.CATEGORY))
SIGNATURE = Signature(columns=COLUMNS, output=Output(task=Task.BINARY, classes=("DOWN", "UP")))
SIGNATURE_ID = new_schema_id(SIGNATURE)
PRICES = Signature(columns=COLUMNS, output=Output(task=Task.REGRESSION))
TABLE = """
CREATE TABLE {database}.v_labelled (
    prediction_id String, model LowCardinality(String), feature_schema_id LowCardinality(String),
    num_features Array(Nullable(Float64)), cat_features Array(Nullable(String)),
    label Nullable(String), value Nullable(Float64),
    predicted_at DateTime64(6, 'UTC'), labelled_at DateTime64(6, 'UTC')
) ENGINE = MergeTree ORDER BY prediction_id
"""


@pytest.mark.server
def test_the_newest_labelled_rows_of_the_contract_as_of_the_moment(
    devclickhouse: Any, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"trainer_{unique}"
    writer = devclickhouse.writer
    host, port = devclickhouse.url.removeprefix("http://").split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), username=writer.user, password=writer.password)
    client.command(f"CREATE DATABASE {database}")
    client.command(TABLE.format(database=database))
    late = START + timedelta(hours=2)
    rows: list[list[object]] = [
        [f"p{n}", "shifts", SIGNATURE_ID, [None if n == 3 else float(n)], ["a" if n % 2 else None], "UP", None, at, at]
        for n, at in ((n, START + timedelta(minutes=n)) for n in range(10))
    ]
    rows += [
        ["other-model", "other", SIGNATURE_ID, [1.0], ["a"], "UP", None, START, START],
        ["other-contract", "shifts", "fs-0", [1.0, 2.0], [], "UP", None, START, START],
        ["no-label", "shifts", SIGNATURE_ID, [1.0], ["a"], None, None, START, START],
        ["few-features", "shifts", SIGNATURE_ID, [], ["a"], "UP", None, late - timedelta(hours=1), START],
        ["another-class", "shifts", SIGNATURE_ID, [1.0], ["a"], "up", None, late - timedelta(hours=1), START],
        ["no-class", "shifts", SIGNATURE_ID, [1.0], ["a"], "1", None, late - timedelta(hours=1), START],
        ["too-late", "shifts", SIGNATURE_ID, [1.0], ["a"], "UP", None, START, late],
    ]
    client.insert(f"{database}.v_labelled", rows)

    reader = devclickhouse.reader
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", reader.password)
    ask = clickhouse({"url": devclickhouse.url, "user": reader.user, "database": database})
    moment = (late - timedelta(microseconds=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
    statements = Statements.of(SIGNATURE, SIGNATURE_ID)
    parameters = {**statements.parameters, "model": "shifts", "as_of": moment, "rows": 8}
    found = ask(statements.rows, parameters)

    assert found["prediction_id"].to_pylist() == [f"p{n}" for n in range(9, 1, -1)]
    assert found["num_features"].to_pylist()[6] == [None]
    assert found["predicted_at"].to_pylist()[0] == START + timedelta(minutes=9)
    assert set(found["truth"].to_pylist()) == {"UP"}
    assert ask(statements.left_out, parameters).to_pylist() == [{"unusable_features": 1, "unusable_label": 2}]

    values = [
        [f"v{n}", "prices", SIGNATURE_ID, [1.0], ["a"], label, value, START, START]
        for n, (label, value) in enumerate(
            [(None, 1.5), (None, 1e21), (" 2.5 ", None), ("1_0", None), (None, 1e39), ("1e39", None), ("yes", None)]
        )
    ]
    client.insert(f"{database}.v_labelled", values)
    statements = Statements.of(PRICES, SIGNATURE_ID)
    parameters = {**statements.parameters, "model": "prices", "as_of": moment, "rows": 8}
    assert sorted(ask(statements.rows, parameters)["truth"].to_pylist()) == [1.5, 2.5, 1e21]
    assert ask(statements.left_out, parameters).to_pylist() == [{"unusable_features": 0, "unusable_label": 4}]
    client.command(f"DROP DATABASE {database}")
