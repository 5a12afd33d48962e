"""The snapshot's SQL on a real ClickHouse: which rows, in which order, as of when."""

from datetime import timedelta
from typing import Any

import clickhouse_connect
import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_trainer.worker.clickhouse import clickhouse
from modelyard_trainer.worker.snapshot import SQL

from .helpers.data import START

SIGNATURE_ID = new_schema_id(
    Signature(
        columns=(Column(name="x"), Column(name="kind", type=ColumnType.CATEGORY)),
        output=Output(task=Task.BINARY, classes=("DOWN", "UP")),
    )
)
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
        ["too-late", "shifts", SIGNATURE_ID, [1.0], ["a"], "UP", None, START, late],
    ]
    client.insert(f"{database}.v_labelled", rows)

    reader = devclickhouse.reader
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", reader.password)
    ask = clickhouse({"url": devclickhouse.url, "user": reader.user, "database": database})
    moment = (late - timedelta(microseconds=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
    found = ask(SQL, {"model": "shifts", "feature_schema_id": SIGNATURE_ID, "as_of": moment, "rows": 8})

    assert found["prediction_id"].to_pylist() == [f"p{n}" for n in range(9, 1, -1)]
    assert found["num_features"].to_pylist()[6] == [None]
    assert found["predicted_at"].to_pylist()[0] == START + timedelta(minutes=9)
    assert set(found["truth"].to_pylist()) == {"UP"}

    values = [
        [f"v{n}", "prices", SIGNATURE_ID, [1.0], ["a"], None, value, START, START]
        for n, value in enumerate((1.5, 1e21))
    ]
    client.insert(f"{database}.v_labelled", values)
    found = ask(SQL, {"model": "prices", "feature_schema_id": SIGNATURE_ID, "as_of": moment, "rows": 8})
    assert sorted(map(float, found["truth"].to_pylist())) == [1.5, 1e21]  # values of a regression
    client.command(f"DROP DATABASE {database}")
