"""What the platform requires of ClickHouse, tested through clickhouse-connect.

Runs on the local development server; with CLICKHOUSE_URL (and its user variables) on a real one. What passes there and
fails here is a bug here.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import clickhouse_connect
import pandas as pd
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError
from clickhouse_connect.driver.external import ExternalData

from modelyard_devstack.providers.clickhouse import RunningClickHouse, start_clickhouse
from modelyard_devstack.testing import wait_until

pytestmark = [pytest.mark.usefixtures("loopback"), pytest.mark.timeout(180)]
WINDOW = "SETTINGS non_replicated_deduplication_window = 100"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningClickHouse]:
    server = start_clickhouse(tmp_path_factory.mktemp("clickhouse"), environ=os.environ)
    yield server
    server.stop()


def address(server: RunningClickHouse, role: str = "writer") -> dict[str, Any]:
    who = server.writer if role == "writer" else server.reader
    return {
        "dsn": f"{server.url}/{server.database}",
        "username": who.user,
        "password": who.password,
        "interface": server.url.split(":")[0],
    }


@pytest.fixture
def writer(running: RunningClickHouse) -> Iterator[Any]:
    client = clickhouse_connect.get_client(**address(running))
    yield client
    client.close()


@pytest.fixture
def reader(running: RunningClickHouse) -> Iterator[Any]:
    client = clickhouse_connect.get_client(**address(running, "reader"))
    yield client
    client.close()


@pytest.fixture
def table(writer: Any) -> Iterator[str]:
    name = f"contract_{uuid4().hex[:8]}"
    writer.command(
        f"CREATE TABLE {name} (a UInt32, b String, at DateTime64(3, 'UTC'), label LowCardinality(String), "
        f"features Map(LowCardinality(String), Float32), id UUID, maybe Nullable(Float64)) "
        f"ENGINE = MergeTree ORDER BY a {WINDOW}"
    )
    yield name
    writer.command(f"DROP TABLE {name}")


def test_types_survive_a_round_trip(writer: Any, table: str) -> None:
    at, id_ = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), uuid4()
    rows = [[1, "é'\\\n\t", at, "x", {"f": 1.5}, id_, None], [2, "", at, "", {}, id_, 0.25]]
    writer.insert(table, rows, column_names="*")
    got = writer.query(f"SELECT * FROM {table} ORDER BY a", query_tz="UTC").result_rows
    assert [[*row[:2], row[2].replace(tzinfo=UTC), *row[3:]] for row in got] == rows


def test_arrow_and_data_frames_go_both_ways(writer: Any, table: str) -> None:
    sent = pa.table({"a": pa.array(range(1000), pa.uint32()), "b": ["z"] * 1000})
    assert writer.insert_arrow(table, sent).written_rows == 1000
    writer.insert_df(table, pd.DataFrame({"a": [5000], "b": ["df"]}))
    assert writer.query_arrow(f"SELECT a, b FROM {table} WHERE a < 5000 ORDER BY a").column("a").to_pylist() == list(
        range(1000)
    )
    assert writer.query_df(f"SELECT a, b FROM {table} WHERE a = 5000")["b"].tolist() == ["df"]


def test_raw_inserts_take_any_format(writer: Any, table: str) -> None:
    writer.raw_insert(table, ["a", "b"], b"1,x\n2,y\n", fmt="CSV")
    writer.raw_insert(table, ["a", "b"], (line for line in (b'{"a":3,"b":"z"}\n', b'{"a":4}\n')), fmt="JSONEachRow")
    writer.command(f"INSERT INTO {table} (a, b) VALUES (5, concat('a', 'b'))")
    writer.command(f"INSERT INTO {table} (a, b) SELECT a + 10, b FROM {table}")
    assert writer.command(f"SELECT sum(a) FROM {table}") == 15 + 65


@pytest.mark.parametrize("codec", ["lz4", "zstd", "gzip", False])
def test_compression_both_ways(running: RunningClickHouse, table: str, codec: str | bool) -> None:
    client = clickhouse_connect.get_client(**address(running), compress=codec)
    rows = [[i, str(i)] for i in range(20_000)]
    assert client.insert(table, rows, column_names=["a", "b"]).written_rows == 20_000
    assert len(client.query(f"SELECT a, b FROM {table}").result_rows) == 20_000
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        client.query("SELECT 1 FROM nowhere_at_all")
    client.close()


def test_parameters_in_the_url_and_as_a_form(writer: Any, table: str) -> None:
    values = {"s": "it's\t\\x", "list": [1, 2], "t": table, "at": datetime(2026, 1, 1)}
    sql = "SELECT {s:String}, {list:Array(UInt8)}, {at:DateTime}, count() FROM {t:Identifier}"
    assert writer.query(sql, parameters=values).result_rows == [("it's\t\\x", [1, 2], datetime(2026, 1, 1), 0)]
    assert len(writer.query("SELECT {s:String}", parameters={"s": "x" * 50_000}).result_rows[0][0]) == 50_000


def test_external_data_for_both_roles(writer: Any, reader: Any) -> None:
    def external() -> ExternalData:
        return ExternalData(file_name="e.csv", fmt="CSV", structure=["id UInt32", "n String"], data=b'1,"a"\n2,"b"\n')

    for client in (writer, reader):
        assert client.query("SELECT * FROM e ORDER BY id", external_data=external()).result_rows == [(1, "a"), (2, "b")]


def test_sessions_and_settings(writer: Any) -> None:
    size = "SELECT getSetting('max_block_size')"
    writer.command("CREATE TEMPORARY TABLE mine (a UInt8)")
    writer.command("INSERT INTO mine SELECT 5")
    assert writer.query("SELECT * FROM mine").result_rows == [(5,)]
    assert writer.command(size, settings={"max_block_size": 777}) == 777
    assert writer.command(size) != 777


def test_a_stream_that_fails_late_is_an_error_and_not_a_short_result(writer: Any) -> None:
    rows = 0
    sql = "SELECT number, throwIf(number = 2900000) FROM numbers(3000000)"
    with pytest.raises(ClickHouseError), writer.query_row_block_stream(sql) as stream:
        for block in stream:
            rows += len(block)
    assert rows < 3_000_000
    with writer.query_row_block_stream("SELECT number FROM numbers(3000000)") as stream:
        assert sum(len(block) for block in stream) == 3_000_000


def test_errors_carry_code_and_name(writer: Any, table: str) -> None:
    for sql, what in (
        ("SELECT nope", "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nowhere", "UNKNOWN_TABLE"),
        ("SELEC 1", "SYNTAX_ERROR"),
        ("SELECT throwIf(number = 70000) FROM numbers(100000)", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT 1; SELECT 2", "Multi-statements"),
        ("1 + 1", "SYNTAX_ERROR"),
    ):
        with pytest.raises(DatabaseError, match=what):
            writer.query(sql)
    with pytest.raises(DatabaseError, match="CANNOT_PARSE"):
        writer.raw_insert(table, ["a", "b"], b"1,x\nno number,y\n", fmt="CSV")
    assert writer.command(f"SELECT count() FROM {table}") == 0


def test_an_insert_whose_rows_cannot_be_serialised_leaves_nothing(writer: Any, table: str) -> None:
    with pytest.raises(ClickHouseError):
        writer.insert(table, [[1, "x"], ["no number", "y"]], column_names=["a", "b"])
    assert writer.command(f"SELECT count() FROM {table}") == 0


def test_a_repeated_token_counts_once_in_the_table_and_its_views(writer: Any, table: str) -> None:
    writer.command(f"CREATE TABLE {table}_n (n UInt64) ENGINE = SummingMergeTree ORDER BY tuple() {WINDOW}")
    writer.command(f"CREATE MATERIALIZED VIEW {table}_mv TO {table}_n AS SELECT count() AS n FROM {table}")
    rows = pa.table({"a": pa.array(range(100), pa.uint32()), "b": ["z"] * 100})
    for token in ("one", "one", "two", "one"):
        settings = {"insert_deduplication_token": token, "deduplicate_blocks_in_dependent_materialized_views": 1}
        writer.insert_arrow(table, rows, settings=settings)
    assert writer.command(f"SELECT count() FROM {table}") == 200
    assert writer.command(f"SELECT sum(n) FROM {table}_n") == 200
    writer.command(f"DROP TABLE {table}_mv")
    writer.command(f"DROP TABLE {table}_n")


def test_the_reader_reads_and_writes_nothing(writer: Any, reader: Any, table: str) -> None:
    writer.insert(table, [[1, "x"]], column_names=["a", "b"])
    assert reader.query(f"SELECT a FROM {table}").result_rows == [(1,)]
    assert reader.query_df(f"SELECT a FROM {table}").shape == (1, 1)
    for sql in (
        f"TRUNCATE TABLE {table}",
        f"INSERT INTO {table} (a) VALUES (1)",
        "SET readonly = 0",
        "DROP DATABASE ml",
    ):
        with pytest.raises(DatabaseError):
            reader.command(sql)
    assert writer.command(f"SELECT count() FROM {table}") == 1


def test_a_wrong_password_is_refused(running: RunningClickHouse) -> None:
    with pytest.raises(DatabaseError, match=r"516|Authentication"):
        clickhouse_connect.get_client(**{**address(running), "password": "wrong"})


def test_a_running_query_can_be_killed_by_its_id(running: RunningClickHouse, writer: Any) -> None:
    query_id, errors = f"kill-{uuid4().hex}", []

    def long_query() -> None:
        client = clickhouse_connect.get_client(**address(running))
        try:
            settings = {"query_id": query_id, "max_block_size": 1}
            client.query("SELECT sum(sleepEachRow(0.05)) FROM numbers(2000)", settings=settings)
        except DatabaseError as error:
            errors.append(str(error))

    thread = threading.Thread(target=long_query)
    thread.start()

    def killed() -> bool:
        writer.command(f"KILL QUERY WHERE query_id = '{query_id}' ASYNC")
        return not thread.is_alive()

    wait_until(killed, 60, every_s=0.2)
    assert errors and "394" in errors[0]


async def test_the_asynchronous_client_works(running: RunningClickHouse, table: str) -> None:
    client = await clickhouse_connect.get_async_client(**address(running))
    try:
        answers = await asyncio.gather(*(client.query(f"SELECT {i}") for i in range(20)))
        assert [answer.result_rows[0][0] for answer in answers] == list(range(20))
        await client.insert(table, [[1, "x"]], column_names=["a", "b"])
        await client.insert_arrow(table, pa.table({"a": pa.array([2], pa.uint32()), "b": ["y"]}))
        assert (await client.query(f"SELECT count() FROM {table}")).result_rows == [(2,)]
        rows = 0
        async with await client.query_row_block_stream("SELECT number FROM numbers(1000000)") as stream:
            async for block in stream:
                rows += len(block)
        assert rows == 1_000_000
        sql = "SELECT number, throwIf(number = 2900000) FROM numbers(3000000)"
        with pytest.raises(ClickHouseError):
            async with await client.query_row_block_stream(sql) as stream:
                async for _ in stream:
                    pass
    finally:
        await client.close()


def test_aggregate_states_views_and_dictionaries(writer: Any, table: str) -> None:
    writer.insert(table, [[i, "x" if i % 2 else "y"] for i in range(100)], column_names=["a", "b"])
    state = f"SELECT b, quantilesTDigestState(0.5)(a) AS s, uniqCombined64State(a) AS u FROM {table} GROUP BY b"
    merged = writer.query(
        f"SELECT b, quantilesTDigestMerge(0.5)(s)[1], uniqCombined64Merge(u) FROM ({state}) GROUP BY b"
    )
    assert sorted((b, u) for b, _, u in merged.result_rows) == [("x", 50), ("y", 50)]
    writer.command(f"CREATE VIEW {table}_v AS SELECT a, b FROM {table} WHERE a < {{limit:UInt32}}")
    assert len(writer.query(f"SELECT * FROM {table}_v(limit = 7)").result_rows) == 7
    writer.command(f"DROP VIEW {table}_v")
    database = writer.command("SELECT currentDatabase()")
    source = f"SOURCE(CLICKHOUSE(TABLE '{table}' DB '{database}')) LAYOUT(HASHED()) LIFETIME(0)"
    writer.command(f"CREATE DICTIONARY {table}_d (a UInt64, b String) PRIMARY KEY a {source}")
    assert writer.command(f"SELECT dictGet('{table}_d', 'b', 3)") == "x"
    writer.command(f"DROP DICTIONARY {table}_d")
