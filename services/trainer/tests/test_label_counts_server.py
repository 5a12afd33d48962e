"""The SQL that counts labels for schedules, on a real ClickHouse."""

from datetime import timedelta
from typing import Any

import clickhouse_connect
import pytest

from modelyard_trainer.clients.label_counts import StoredLabels
from modelyard_trainer.worker.clickhouse import clickhouse

from .helpers.data import START

TABLE = """
CREATE TABLE {database}.v_matched (
    prediction_id String, model LowCardinality(String), repeat UInt8, rejected LowCardinality(String),
    received_at DateTime64(6, 'UTC')
) ENGINE = MergeTree ORDER BY prediction_id
"""


@pytest.mark.server
def test_first_usable_labels_count_from_the_moment_of_each_model(devclickhouse: Any, unique: str) -> None:
    database, writer, reader = f"counts_{unique}", devclickhouse.writer, devclickhouse.reader
    host, port = devclickhouse.url.removeprefix("http://").split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), username=writer.user, password=writer.password)
    client.command(f"CREATE DATABASE {database}")
    client.command(TABLE.format(database=database))
    minute = timedelta(minutes=1)
    rows: list[list[object]] = [[f"a{n}", "a", 0, "", START + n * minute] for n in range(10)]
    rows += [[f"b{n}", "acme:b", 0, "", START + n * minute] for n in range(10)]
    rows += [
        ["repeated", "a", 1, "", START + 8 * minute],
        ["rejected", "a", 0, "unknown class", START + 8 * minute],
        ["other", "c", 0, "", START + 8 * minute],
    ]
    client.insert(f"{database}.v_matched", rows)
    ask = clickhouse({"url": devclickhouse.url, "user": reader.user, "database": database}, reader.password)
    moments = {"a": START + 4 * minute, "acme:b": START + 7 * minute, "without labels": START}
    assert StoredLabels(ask).since(moments) == {"a": 5, "acme:b": 2}
    client.command(f"DROP DATABASE {database}")
