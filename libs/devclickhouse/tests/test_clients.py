"""Clients of analysts with their default settings, each as reader and as writer.

Clients that are Python packages run for real. JDBC is not one: its recorded requests are sent, and the answers are
decoded here (clickhouse-go's handshake is in test_native). test_other_languages runs the clients of other languages.
"""

import struct
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import lz4.block
import pytest
import sqlalchemy
from clickhouse_connect import common
from sqlalchemy.pool import NullPool

pytestmark = pytest.mark.usefixtures("loopback")
USERS = pytest.mark.parametrize("user", ["reader", "writer"])


def engine(server: Any, user: str, database: str = "ml", **options: Any) -> sqlalchemy.Engine:
    address = f"{user}:{user[0]}-secret@127.0.0.1:{server.port}"
    return sqlalchemy.create_engine(f"clickhousedb+connect://{address}/{database}", **options)


@pytest.fixture(scope="module")
def table(server: Any) -> str:
    server.value(
        "CREATE TABLE ml.sales (day Date, at DateTime('Europe/Berlin'), shop LowCardinality(String), amount Float64, "
        "note Nullable(String) COMMENT 'free text') ENGINE = MergeTree ORDER BY (shop, at)"
    )
    server.value(
        "INSERT INTO ml.sales SELECT '2026-01-01', toDateTime('2026-01-01 00:00:00', 'UTC') + number * 3600, "
        "['north', 'south'][1 + number % 2], number, if(number % 3, NULL, 'x') FROM numbers(48)"
    )
    return "sales"


@USERS
@pytest.mark.parametrize("pool", [None, NullPool], ids=["pool", "no pool"])
def test_sqlalchemy_reads_and_inspects(server: Any, table: str, user: str, pool: Any) -> None:
    db = engine(server, user, **({"poolclass": pool} if pool else {}))
    inspector = sqlalchemy.inspect(db)
    assert "ml" in inspector.get_schema_names() and table in inspector.get_table_names("ml")
    assert [column["name"] for column in inspector.get_columns(table, "ml")] == ["day", "at", "shop", "amount", "note"]
    reflected = sqlalchemy.Table(table, sqlalchemy.MetaData(), schema="ml", autoload_with=db)
    totals = sqlalchemy.select(reflected.c.shop, sqlalchemy.func.sum(reflected.c.amount)).group_by(reflected.c.shop)
    with db.connect() as connection:
        assert sorted(tuple(row) for row in connection.execute(totals)) == [("north", 552.0), ("south", 576.0)]
        first = connection.execute(sqlalchemy.select(sqlalchemy.func.min(reflected.c.at))).scalar()
        assert str(first) == "2026-01-01 01:00:00+01:00"
        bound = connection.execute(sqlalchemy.text("SELECT :a + 1"), {"a": 6})
        assert bound.scalar() == 7
        with pytest.raises(sqlalchemy.exc.DatabaseError, match="UNKNOWN_IDENTIFIER"):
            connection.execute(sqlalchemy.text("SELECT nope"))


def test_sqlalchemy_writes(server: Any) -> None:
    name = f"alchemy_{uuid4().hex[:8]}"
    with engine(server, "writer").connect() as connection:
        ddl = f"CREATE TABLE {name} (a UInt32, b String) ENGINE = MergeTree ORDER BY a"
        connection.execute(sqlalchemy.text(ddl))
        connection.execute(sqlalchemy.text(f"INSERT INTO {name} (a, b) VALUES (:a, :b)"), [{"a": 1, "b": "it's"}])
        rows = sqlalchemy.table(name, sqlalchemy.column("a"), sqlalchemy.column("b"))
        connection.execute(sqlalchemy.insert(rows).values([{"a": 2, "b": "ü"}]))
        found = [tuple(row) for row in connection.execute(sqlalchemy.select(rows).order_by(rows.c.a))]
        assert found == [(1, "it's"), (2, "ü")]
        connection.execute(sqlalchemy.text(f"DROP TABLE {name}"))


@pytest.fixture
def superset() -> Iterator[None]:
    """What Superset sets in clickhouse-connect."""
    before = common.get_setting("product_name")
    common.set_setting("product_name", "superset/5.0.0")
    yield
    common.set_setting("product_name", before)


@USERS
@pytest.mark.usefixtures("superset")
@pytest.mark.parametrize("database", ["ml", "__default__"])
def test_superset_lists_explores_and_charts(server: Any, table: str, user: str, database: str) -> None:
    """The statements of Superset's engine for clickhouse-connect, each on a connection of its own."""
    db = engine(server, user, database, poolclass=NullPool)

    def rows(sql: str) -> list[tuple[Any, ...]]:
        with db.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(sql))]

    functions = rows("SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions LIMIT 10000")
    assert ("toStartOfDay",) in functions
    assert len(rows(f"SELECT * FROM ml.{table} LIMIT 1001")) == 48
    chart = rows(
        "SELECT toStartOfDay(toDateTime(`at`)) AS `__timestamp_1a2b3c`, sum(`amount`) AS `SUM(amount)_4d5e6f` "
        f"FROM `ml`.`{table}` WHERE `at` >= toDateTime('2026-01-01 00:00:00') "
        "AND `at` < toDateTime('2026-01-03 00:00:00') GROUP BY toStartOfDay(toDateTime(`at`)) "
        "ORDER BY `SUM(amount)_4d5e6f` DESC LIMIT 10000"
    )
    assert sum(row[1] for row in chart) == 1128.0 and isinstance(chart[0][0], datetime)
    virtual = (
        f"SELECT `shop` AS `shop`, count(*) AS `c` FROM (SELECT * FROM ml.{table}) AS `virtual_table` GROUP BY `shop`"
    )
    assert sorted(rows(virtual)) == [("north", 24), ("south", 24)]
    assert rows(f"EXPLAIN SELECT * FROM ml.{table}")


@USERS
def test_clickhouse_sqlalchemy_over_http(server: Any, table: str, user: str) -> None:
    """The requests of the dialect clickhouse-sqlalchemy 0.3, recorded; it does not run with SQLAlchemy 2.1."""
    more = {"query_id": str(uuid4()), "database": "ml", "default_format": "TabSeparatedWithNamesAndTypes"}
    answer = server.ask(
        f"SELECT {table}.shop, count(*) AS n \nFROM {table} GROUP BY {table}.shop ORDER BY n", user, **more
    )
    assert answer.text.splitlines()[:2] == ["shop\tn", "LowCardinality(String)\tUInt64"]
    assert server.ask(f'DESCRIBE TABLE "{table}"', user, **more).text.splitlines()[2].startswith("day\tDate")
    assert server.ask("SHOW DATABASES", user, **more).text.splitlines()[:2] == ["name", "String"]


# JDBC: recorded from client-v2 0.9.8, which the JDBC driver 0.9.8 uses, with its defaults.


class Jdbc:
    """Requests as the driver sends them: compressed answers, the format and the database in headers."""

    def __init__(self, server: Any, user: str) -> None:
        self._server, self.user, self._password = server, user, f"{user[0]}-secret"

    def ask(self, sql: str, **parameters: str) -> Any:
        headers = {
            "Content-Type": "text/plain",
            "X-ClickHouse-Format": "RowBinaryWithNamesAndTypes",
            "X-ClickHouse-Database": "ml",
            "User-Agent": "clickhouse-java-v2/0.9.8 (Linux; jvm:17.0.15) Apache-HttpClient/5.6.2",
        }
        return self._server.client.post(
            self._server.url,
            params={"compress": "1", **parameters},
            headers=headers,
            content=sql,
            auth=(self.user, self._password),
        )

    def rows(self, sql: str, **parameters: str) -> list[dict[str, Any]]:
        answer = self.ask(sql, **parameters)
        assert answer.status_code == 200, answer.text
        return row_binary(unblocked(answer.content))


STATEMENT = {"async_insert": "0", "wait_end_of_query": "0"}
"""What a connection of the driver adds to each statement."""


def unblocked(raw: bytes) -> bytes:
    out = b""
    while raw:
        method, packed, size = struct.unpack_from("<BII", raw, 16)
        assert method == 0x82
        out += lz4.block.decompress(raw[25 : 16 + packed], uncompressed_size=size)
        raw = raw[16 + packed :]
    return out


def row_binary(raw: bytes) -> list[dict[str, Any]]:
    """RowBinaryWithNamesAndTypes of strings, nullable strings and unsigned integers."""
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return raw[at - size : at]

    def text() -> str:
        size = take(1)[0]
        if size > 127:
            size = (size & 127) + (take(1)[0] << 7)
        return take(size).decode()

    def value(kind: str) -> Any:
        if kind.startswith("Nullable("):
            return None if take(1)[0] else value(kind[9:-1])
        if kind.startswith("UInt"):
            return int.from_bytes(take(int(kind[4:]) // 8), "little")
        return text()

    columns = take(1)[0]
    names, kinds = [text() for _ in range(columns)], [text() for _ in range(columns)]
    rows = []
    while at < len(raw):
        rows.append(dict(zip(names, map(value, kinds), strict=True)))
    return rows


@USERS
def test_jdbc_connects_and_tests_the_connection(server: Any, user: str) -> None:
    jdbc = Jdbc(server, user)
    [info] = jdbc.rows(
        "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1", wait_end_of_query="1"
    )
    assert info["timezone"] == "UTC"
    jdbc.user = info["user"]  # the driver logs in as this user from here on, with the same password
    assert jdbc.rows("SELECT 1", **STATEMENT) == [{"1": 1}]
    assert jdbc.rows("SELECT version() as server_version", **STATEMENT) == [{"server_version": info["version"]}]


@USERS
def test_jdbc_lists_tables_and_columns(server: Any, table: str, user: str) -> None:
    """DBeaver and Metabase read the metadata with these statements of the driver."""
    jdbc = Jdbc(server, user)
    tables = jdbc.rows(
        "SELECT '' AS TABLE_CAT, t.database AS TABLE_SCHEM, t.name AS TABLE_NAME, "
        "if(t.is_temporary = 1, concat('Temporary', t.engine), t.engine) AS TABLE_TYPE, t.comment AS REMARKS, "
        "CAST(null as Nullable(String)) AS TYPE_CAT, d.engine AS TYPE_SCHEM FROM system.tables t "
        "JOIN system.databases d ON system.tables.database = system.databases.name "
        "WHERE t.database LIKE '%' AND t.name LIKE 'sal%' "
        "AND ( (t.engine IN ('File','S3','URL','MergeTree','Executable')))",
        **STATEMENT,
    )
    assert [(row["TABLE_SCHEM"], row["TABLE_NAME"], row["TABLE_TYPE"]) for row in tables] == [
        ("ml", table, "MergeTree")
    ]
    columns = jdbc.rows(
        "SELECT database, table, name, type, comment, position FROM system.columns "
        f"WHERE database LIKE 'ml' AND table LIKE '{table}' AND name LIKE '%' ORDER BY position",
        **STATEMENT,
    )
    assert [(row["name"], row["type"]) for row in columns][1:3] == [
        ("at", "DateTime('Europe/Berlin')"),
        ("shop", "LowCardinality(String)"),
    ]
    assert columns[4]["comment"] == "free text"


@USERS
def test_metabase_asks_in_a_time_zone(server: Any, table: str, user: str) -> None:
    more = {"session_timezone": "America/New_York", "select_sequential_consistency": "1"}
    [row] = Jdbc(server, user).rows(f"SELECT toString(toDateTime(0)) AS t, count() AS n FROM `ml`.`{table}`", **more)
    assert row == {"t": "1969-12-31 19:00:00", "n": 48}


@USERS
def test_jdbc_sees_errors_with_their_code(server: Any, user: str) -> None:
    wrong = Jdbc(server, user).ask("SELECT nope", **STATEMENT)
    assert (wrong.status_code, wrong.headers["X-ClickHouse-Exception-Code"]) == (404, "47")
    assert unblocked(wrong.content).startswith(b"Code: 47. DB::Exception: ")


def test_jdbc_writes_and_a_reader_is_told_that_it_may_not(server: Any) -> None:
    writer, name = Jdbc(server, "writer"), f"jdbc_{uuid4().hex[:8]}"
    statement = {**STATEMENT, "async_insert": "0"}
    assert (
        writer.ask(f"CREATE TABLE {name} (a UInt64, s String) ENGINE = MergeTree ORDER BY a", **statement).status_code
        == 200
    )
    assert writer.ask(f"INSERT INTO `{name}` (`a`, `s`) VALUES (1,'x'),(2,'it\\'s')", **statement).status_code == 200
    assert writer.rows(f"SELECT count() AS n, max(s) AS s FROM {name}", **statement) == [{"n": 2, "s": "x"}]
    refused = Jdbc(server, "reader").ask(f"INSERT INTO {name} VALUES (3,'y')", **statement)
    assert (refused.status_code, refused.text[:9]) == (403, "Code: 164")
    assert writer.ask(f"DROP TABLE {name}", **statement).status_code == 200
