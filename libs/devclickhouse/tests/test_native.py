"""Native blocks for clients that state a protocol revision: clickhouse-go, Grafana's plugin, clickhouse-connect."""

import struct
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import clickhouse_connect
import lz4.block
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard_devclickhouse.errors import ClickHouseError
from modelyard_devclickhouse.native import TYPES_IN_BINARY, Reencoder

pytestmark = pytest.mark.usefixtures("loopback")

GO = "54460"
"""What clickhouse-go 2.45 states."""
BLOCK_INFO = bytes.fromhex("010002ffffffff00")
COLUMNS = r"""
number
toString(number)
repeat('x', number % 300)
[toString(number)]
range(number % 5)
arrayMap(x -> toString(x), range(number % 5))
toLowCardinality(toString(number % 7))
CAST(toString(number % 7) AS LowCardinality(Nullable(String)))
arrayMap(x -> toLowCardinality(toString(x)), range(number % 3))
CAST([] AS Array(LowCardinality(String)))
map(toString(number), number)
map(toLowCardinality('a'), [number])
CAST((number, toString(number)) AS Tuple(a UInt64, `b c` String))
tuple(number, 'x')
tuple()
NULL
if(number % 2, NULL, number)
if(number % 2, NULL, toString(number))
toDecimal32(1.5, 2)
toDecimal128(1.5, 20)
toDecimal256(1, 3)
toDateTime64(1.5, 3, 'Asia/Tokyo')
toDateTime64(1.5, 6)
toDate(number)
toDate32(number)
toUUID('00000000-0000-0000-0000-000000000001')
toIPv4('1.2.3.4')
toIPv6('::1')
true
CAST('a\'\\' AS Enum8('a\'\\' = -1, 'b' = 2))
CAST('b' AS Enum16('a' = -1000, 'b' = 2))
INTERVAL 1 MONTH
toFixedString('abc', 5)
CAST((1., 2.) AS Point)
CAST([(1., 2.)] AS Ring)
CAST([[(1., 2.)]] AS Polygon)
CAST([[[(1., 2.)]]] AS MultiPolygon)
CAST(number AS SimpleAggregateFunction(sum, UInt64))
CAST(toString(number) AS SimpleAggregateFunction(any, String))
toBFloat16(1)
CAST(number AS Variant(UInt64, String, Array(String)))
if(number % 2, CAST(number AS Variant(UInt64, String)), CAST('x' AS Variant(UInt64, String)))
CAST(NULL AS Variant(UInt64, String))
CAST(number AS Dynamic)
multiIf(n % 3 = 0, CAST(n AS Dynamic), n % 3 = 1, CAST('x' AS Dynamic), CAST([toLowCardinality('y')] AS Dynamic))
CAST(NULL AS Dynamic)
CAST(number AS Dynamic(max_types=3))
CAST('{"a":1,"b":{"c":"x"}}' AS JSON)
CAST(concat('{"a":', toString(number), ',"k', toString(number % 3), '":[1,"2"]}') AS JSON)
CAST('{"a":1,"b":{"c":"x"}, "z":5}' AS JSON(max_dynamic_paths=1, a UInt32, SKIP z))
[CAST('{"a":1}' AS JSON)]
CAST([(1, 'a')] AS Nested(x UInt8, y String))
toInt128(-1)
toUInt256(1)
[[number]]
CAST(NULL AS Nullable(UUID))
CAST('12:00:00' AS Time)
CAST('12:00:00.5' AS Time64(3))
[]
[NULL]
(NULL, [[]])
CAST([tuple(1, 2)] AS Array(Tuple(UInt8, LowCardinality(String))))
arrayMap(x -> CAST(number AS Dynamic), range(number % 2))
CAST(map('a', CAST(number AS Variant(UInt64, String))) AS Map(String, Variant(UInt64, String)))
"""


def native(server: Any, sql: str, **settings: str) -> bytes:
    answer = server.ask(f"{sql} FORMAT Native", **settings)
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def reencoded(raw: bytes, revision: int, step: int = 1 << 20) -> bytes:
    encoder = Reencoder(revision)
    out = b"".join(encoder.feed(raw[at : at + step]) for at in range(0, len(raw), step))
    encoder.end()
    return out


@pytest.mark.parametrize("rows", [0, 1, 3, 5000])
def test_values_of_every_type_pass_unchanged_wherever_the_stream_is_cut(server: Any, rows: int) -> None:
    """The engine's own text types and values are the expectation; only the block info is added at this revision."""
    columns = ", ".join(f"{column} AS `c {at}`" for at, column in enumerate(COLUMNS.strip().splitlines()))
    sql = f"SELECT number AS n, {columns} FROM numbers({rows}) ORDER BY n"
    one_thread = {"max_threads": "1", "max_block_size": "2000"}
    expected = native(server, sql, **one_thread)
    binary = native(server, sql, **one_thread, **{TYPES_IN_BINARY: "1"})
    for step in (1, 7, 1000) if rows < 10 else (997, 1 << 20):
        out = reencoded(binary, 54405, step)
        assert out.replace(BLOCK_INFO, b"") == expected
    assert out.count(BLOCK_INFO) == (-(-rows // 2000) if rows else out.count(BLOCK_INFO))


SCALARS = st.sampled_from(
    [
        *("UInt8", "UInt64", "Int256", "Float64", "String", "FixedString(3)", "Date32", "DateTime('Asia/Tokyo')"),
        *("DateTime64(9,'UTC')", "UUID", "IPv6", "Bool", "Decimal(40,5)", "Enum16('a\\'b'=-1,'c'=300)"),
    ]
)
LABELS = st.sampled_from(["a", "`b c`", "`ü`"])
TYPES = st.recursive(
    SCALARS
    | SCALARS.map("Nullable({})".format)
    | st.sampled_from(["LowCardinality(String)", "LowCardinality(Nullable(String))", "LowCardinality(UInt16)"]),
    lambda inner: (
        inner.map("Array({})".format)
        | st.lists(inner, min_size=1, max_size=3).map(lambda kinds: f"Tuple({', '.join(kinds)})")
        | st.tuples(LABELS, inner).map(lambda pair: f"Tuple({pair[0]} {pair[1]}, z String)")
        | inner.map("Map(String, {})".format)
    ),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=TYPES, rows=st.sampled_from([1, 2, 700]), step=st.sampled_from([1, 13, 4096]))
def test_random_values_of_nested_types_pass_unchanged(server: Any, kind: str, rows: int, step: int) -> None:
    quoted = f"c {kind}".replace("\\", "\\\\").replace("'", "\\'")
    sql = f"SELECT c, 'end' AS e FROM generateRandom('{quoted}', 7, 200, 3) LIMIT {rows}"
    more = {"max_threads": "1", "max_block_size": "500", "allow_suspicious_low_cardinality_types": "1"}
    binary = native(server, sql, **more, **{TYPES_IN_BINARY: "1"})
    out = reencoded(binary, 54336, step if rows < 700 else 4096)  # the engine's text has no zone, like this revision
    assert out.replace(BLOCK_INFO, b"") == native(server, sql, **more)


@pytest.mark.parametrize(
    "setting",
    ["output_format_native_write_json_as_string", "output_format_native_use_flattened_dynamic_and_json_serialization"],
)
def test_both_other_encodings_of_dynamic_and_json_pass(server: Any, setting: str) -> None:
    chosen = [column for column in COLUMNS.strip().splitlines() if "Dynamic" in column or "JSON" in column]
    chosen.append(
        """CAST(concat('{"a":1,"b":{"c":"x"},"z":', toString(n), '}') AS JSON(max_dynamic_paths=1, a UInt32))"""
    )
    columns = ", ".join(f"{column} AS `c {at}`" for at, column in enumerate(chosen))
    sql = f"SELECT number AS n, {columns} FROM numbers(100) ORDER BY n"
    more = {"max_threads": "1", setting: "1"}
    out = reencoded(native(server, sql, **more, **{TYPES_IN_BINARY: "1"}), 54405, 31)
    assert out.replace(BLOCK_INFO, b"") == native(server, sql, **more)


def test_a_statement_cannot_choose_the_encoding_of_types(server: Any) -> None:
    sql = f"SELECT 1 AS a SETTINGS {TYPES_IN_BINARY} = 0"
    refused = server.ask(sql, client_protocol_version=GO, default_format="Native")
    assert refused.status_code == 400 and TYPES_IN_BINARY in refused.text
    assert server.ask(sql, default_format="Native").status_code == 200


def test_a_stream_that_ends_within_a_block_is_an_error(server: Any) -> None:
    binary = native(server, "SELECT number, toString(number) FROM numbers(100)", **{TYPES_IN_BINARY: "1"})
    with pytest.raises(ClickHouseError, match="middle of a Native block"):
        reencoded(binary[:-1], 54460)


def blocks(raw: bytes, *, kinds: bool) -> Iterator[dict[str, tuple[str, list[Any]]]]:
    """Decode blocks of strings and small integers, as clickhouse-go does for its handshake."""
    at = 0

    def text() -> str:
        nonlocal at
        size = raw[at]
        at += 1 + size
        return raw[at - size : at].decode()

    while at < len(raw):
        assert raw[at : at + 8] == BLOCK_INFO
        columns, rows = raw[at + 8], raw[at + 9]
        at += 10
        block: dict[str, tuple[str, list[Any]]] = {}
        for _ in range(columns):
            label, kind = text(), text()
            if kinds:
                assert raw[at] == 0
                at += 1
            values: list[Any] = []
            for _ in range(rows):
                size = {"UInt8": 1, "UInt32": 4, "UInt64": 8}.get(kind.partition("(")[0], 4)
                if kind == "String":
                    values.append(text())
                else:
                    values.append(int.from_bytes(raw[at : at + size], "little"))
                    at += size
            block[label] = (kind, values)
        yield block


@pytest.mark.parametrize("user", ["reader", "writer"])
def test_the_handshake_of_clickhouse_go(server: Any, user: str) -> None:
    """Its recorded request: the format is in the URL, and the body has no FORMAT clause."""
    sql = "SELECT displayName(), version(), revision(), timezone()"
    answer = server.ask(sql, user, client_protocol_version=GO, database="default", default_format="Native")
    [block] = blocks(answer.content, kinds=True)
    assert list(block) == ["displayName()", "version()", "revision()", "timezone()"]
    assert block["revision()"][0] == "UInt32" and block["revision()"][1][0] > 54460
    assert block["timezone()"] == ("String", ["UTC"])
    tables = server.ask("SHOW DATABASES", user, client_protocol_version=GO, default_format="Native")
    assert "ml" in next(blocks(tables.content, kinds=True))["name"][1]


@pytest.mark.parametrize("user", ["reader", "writer"])
def test_clickhouse_go_with_lz4_and_with_gzip(server: Any, user: str) -> None:
    """Its Compression option: LZ4 asks for ClickHouse's blocks, GZIP (Grafana's plugin) for HTTP compression."""
    more = {"client_protocol_version": GO, "default_format": "Native"}
    raw = server.ask("SELECT 'x' AS s", user, compress="1", **more).content
    packed, size = struct.unpack_from("<II", raw, 17)
    [block] = blocks(lz4.block.decompress(raw[25 : 16 + packed], uncompressed_size=size), kinds=True)
    assert block == {"s": ("String", ["x"])}
    response = server.ask("SELECT 'x' AS s", user, enable_http_compression="1", **more)
    assert "Content-Encoding" in response.headers and list(blocks(response.content, kinds=True)) == [block]


@pytest.mark.parametrize(
    ("revision", "kind", "kinds"),
    [
        ("54336", "DateTime", False),
        ("54337", "DateTime('Asia/Tokyo')", False),
        ("54453", "DateTime('Asia/Tokyo')", False),
        ("54454", "DateTime('Asia/Tokyo')", True),
        ("99999", "DateTime('Asia/Tokyo')", True),
    ],
)
def test_each_revision_gets_what_it_knows(server: Any, revision: str, kind: str, kinds: bool) -> None:
    raw = native(server, "SELECT toDateTime(7, 'Asia/Tokyo') AS t, 'x' AS s", client_protocol_version=revision)
    [block] = blocks(raw, kinds=kinds)
    assert block == {"t": (kind, [7]), "s": ("String", ["x"])}


def test_other_formats_and_inserts_do_not_depend_on_the_revision(server: Any) -> None:
    assert server.value("SELECT 7", client_protocol_version=GO) == "7"
    server.value("CREATE TABLE ml.from_go (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    body = native(
        server, "SELECT number AS a, toString(number) AS b FROM numbers(10)"
    )  # clickhouse-go writes revision 0
    insert = b"INSERT INTO ml.from_go FORMAT Native\n" + body
    assert server.ask(insert, client_protocol_version=GO, default_format="Native").status_code == 200
    assert server.value("SELECT count(), sum(a) FROM ml.from_go") == "10\t45"
    assert server.ask("SELECT 1", client_protocol_version="new").status_code == 400
    assert server.ask("SELECT 1", client_protocol_version="-1").status_code == 400


def test_a_type_that_cannot_be_sent_is_named(server: Any) -> None:
    answer = server.ask("SELECT sumState(1)", client_protocol_version=GO, default_format="Native")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "48" and "finalizeAggregation" in answer.text


@pytest.mark.parametrize("user", ["reader", "writer"])
def test_clickhouse_connect_sees_the_zone_of_a_datetime(server: Any, user: str) -> None:
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, username=user, password=f"{user[0]}-secret", database="ml"
    )
    result = client.query(
        "SELECT toDateTime(0, 'Asia/Tokyo') AS t, [toDateTime(0, 'America/New_York')] AS a, "
        "CAST(toString(number) AS LowCardinality(String)) AS l, map('k', number) AS m FROM numbers(3) ORDER BY number"
    )
    assert [kind.name for kind in result.column_types][:2] == [
        "DateTime('Asia/Tokyo')",
        "Array(DateTime('America/New_York'))",
    ]
    first, nested, label, entries = result.result_rows[2]
    assert first == datetime(1970, 1, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo")) and str(first.tzinfo) == "Asia/Tokyo"
    assert str(nested[0].tzinfo) == "America/New_York"
    assert (label, entries) == ("2", {"k": 2})
    big = client.query("SELECT number, toString(number) FROM numbers(200000)").result_columns
    assert sum(big[0]) == 19_999_900_000 and big[1][-1] == "199999"
