"""Responses: no error is lost, a disconnect stops the query, sessions keep their state."""

import gzip
import io
import json
import re
import socket
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import lz4.frame
import pytest
import zstandard

from modelyard_devstack.testing import wait_until

pytestmark = pytest.mark.usefixtures("loopback")


def raw_post(server: Any, sql: str, query: str = "", user: str = "writer") -> socket.socket:
    """Send a request without reading the response."""
    password = {"writer": "w-secret", "reader": "r-secret"}[user]
    secret = b64encode(f"{user}:{password}".encode()).decode()
    body = sql.encode()
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = f"POST /?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {secret}\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    return sock


def read_all(sock: socket.socket) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def running(server: Any, mark: str) -> int:
    return int(server.value(f"SELECT count() FROM system.processes WHERE query LIKE '%{mark}%'")) - 1


def test_an_early_error_has_its_status_and_code_though_output_had_begun(server: Any) -> None:
    answer = server.ask("SELECT number, throwIf(number = 50000) FROM numbers(100000)", max_block_size="1000")
    assert answer.status_code == 500
    assert answer.headers["X-ClickHouse-Exception-Code"] == "395"
    assert answer.text.startswith("Code: 395. DB::Exception: ") and "OUTFILE" not in answer.text


def test_a_late_error_breaks_the_body_off_with_the_tagged_block(server: Any) -> None:
    raw = read_all(raw_post(server, "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)"))
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    tag = headers["x-clickhouse-exception-tag"].encode()
    assert head.startswith(b"HTTP/1.1 200") and "x-clickhouse-exception-code" not in headers
    block = body[body.index(b"\r\n__exception__\r\n" + tag) :]
    assert b"Code: 395." in block and tag + b"\r\n__exception__\r\n" in block
    assert not body.endswith(b"0\r\n\r\n"), "the last chunk must be missing"


@pytest.mark.parametrize("accept", ["zstd", "lz4", "gzip"])
def test_answers_and_errors_are_encoded_as_asked(server: Any, accept: str) -> None:
    decode: dict[str, Any] = {
        "zstd": lambda raw: zstandard.ZstdDecompressor().stream_reader(raw).read(),
        "lz4": lz4.frame.decompress,
        "gzip": gzip.decompress,
    }
    for sql, expected in (("SELECT 7", b"7\n"), ("SELECT nope", b"Code: 47.")):
        request = server.client.build_request(
            "POST",
            server.url,
            params={"enable_http_compression": "1"},
            content=sql,
            headers={"Accept-Encoding": accept, "X-ClickHouse-User": "reader", "X-ClickHouse-Key": "r-secret"},
        )
        answer = server.client.send(request, stream=True)
        assert answer.headers["Content-Encoding"] == accept
        assert decode[accept](b"".join(answer.iter_raw())).startswith(expected)


def test_wait_end_of_query_spools_a_large_answer_and_still_reports_the_late_error(server: Any) -> None:
    sql = "SELECT number, throwIf(number = {}) FROM numbers(3000000)"
    good = server.ask(sql.format(-1), wait_end_of_query="1")
    assert good.text.count("\n") == 3_000_000
    assert json.loads(good.headers["X-ClickHouse-Summary"])["read_rows"] == "3000000"
    assert int(good.headers["Content-Length"]) == len(good.content)
    assert server.ask(sql.format(2_900_000), wait_end_of_query="1").headers["X-ClickHouse-Exception-Code"] == "395"


def test_a_client_that_disconnects_from_a_stream_stops_its_query(server: Any) -> None:
    sock = raw_post(server, "SELECT number AS left_stream FROM numbers(100000000000)")
    assert sock.recv(1 << 16)
    assert running(server, "left_stream") == 1
    sock.close()
    wait_until(lambda: running(server, "left_stream") == 0)


def test_a_client_that_disconnects_early_stops_its_query_if_requested(server: Any) -> None:
    sql = "SELECT sum(sleepEachRow(0.05)) AS left_early FROM numbers(400)"
    options = "max_block_size=1&cancel_http_readonly_queries_on_client_close=1"
    sock = raw_post(server, sql, options, user="reader")
    wait_until(lambda: running(server, "left_early") == 1)
    sock.close()
    wait_until(lambda: running(server, "left_early") == 0)


def test_a_client_that_disconnects_during_an_insert_leaves_no_row(server: Any) -> None:
    server.value("CREATE TABLE ml.left_insert (a UInt64) ENGINE = MergeTree ORDER BY a")
    secret = b64encode(b"writer:w-secret").decode()
    sock = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {secret}\r\nTransfer-Encoding: chunked\r\n\r\n"
    sock.sendall(head.encode())
    for part in [b"INSERT INTO ml.left_insert FORMAT TSV\n", *[b"1\n" * 300_000] * 5]:
        sock.sendall(b"%x\r\n%s\r\n" % (len(part), part))
    wait_until(lambda: running(server, "left_insert") >= 1)
    sock.close()
    wait_until(lambda: running(server, "left_insert") == 0)
    assert server.value("SELECT count() FROM ml.left_insert") == "0"
    assert server.value("SELECT 1") == "1"


def test_an_insert_with_garbage_in_the_middle_leaves_no_row(server: Any) -> None:
    server.value("CREATE TABLE ml.garbage (a UInt64) ENGINE = MergeTree ORDER BY a")
    answer = server.ask(b"INSERT INTO ml.garbage FORMAT TSV\n" + b"1\n" * 2_000_000 + b"INTERNAL EXCEPTION\n")
    assert answer.status_code >= 400 and "Code: 27" in answer.text
    assert server.value("SELECT count() FROM ml.garbage") == "0"


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd", "deflate"])
def test_bodies_in_concatenated_frames_and_cut_off_ones(server: Any, encoding: str) -> None:
    import zlib

    encode: dict[str, Any] = {
        "gzip": gzip.compress,
        "lz4": lz4.frame.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "deflate": zlib.compress,
    }
    table = f"ml.frames_{encoding}"
    server.value(f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a")
    body = encode[encoding](f"INSERT INTO {table} FORMAT TSV\n1\n".encode()) + encode[encoding](b"2\n3\n")
    request: dict[str, Any] = {"auth": ("writer", "w-secret"), "headers": {"Content-Encoding": encoding}}
    assert server.client.post(server.url, content=body, **request).status_code == 200
    assert server.client.post(server.url, content=body[:-4], **request).status_code == 400
    assert server.client.post(server.url, content=b"no such thing", **request).status_code == 400
    assert server.value(f"SELECT sum(a) FROM {table}") == "6"
    unknown = {**request, "headers": {"Content-Encoding": "rot13"}}
    assert "rot13" in server.client.post(server.url, content=body, **unknown).text


def test_a_session_keeps_its_state_and_url_settings_last_one_request(server: Any) -> None:
    at = {"session_id": uuid4().hex}
    size = "SELECT getSetting('max_block_size')"
    server.value("CREATE TEMPORARY TABLE mine (a UInt8)", **at)
    server.value("INSERT INTO mine VALUES (5)", **at)
    server.value("SET max_block_size = 555", **at)
    assert server.value(size, **at, max_block_size="777") == "777"
    assert server.value(size, **at) == "555"
    assert server.ask("SELECT throwIf(1)", **at).status_code == 500
    assert server.value("SELECT a FROM mine", **at) == "5"
    server.value("USE system", **at)
    assert server.value("SELECT currentDatabase()", **at, database="ml") == "ml"
    assert server.value("SELECT currentDatabase()", **at) == "system"
    assert server.ask("SELECT a FROM mine").headers["X-ClickHouse-Exception-Code"] == "60"
    assert server.value(size) != "555"


def test_sessions_are_exclusive_and_belong_to_their_user(server: Any) -> None:
    at = {"session_id": uuid4().hex}
    assert server.ask("SELECT 1", **at, session_check="1").headers["X-ClickHouse-Exception-Code"] == "372"
    server.value("CREATE TEMPORARY TABLE mine (a UInt8)", **at)
    assert server.ask("SELECT * FROM mine", "reader", **at).status_code >= 400
    long = threading.Thread(target=server.ask, args=("SELECT sleep(2) AS held",), kwargs=at)
    long.start()
    wait_until(lambda: running(server, "AS held") == 1)
    assert server.ask("SELECT 1", **at).headers["X-ClickHouse-Exception-Code"] == "373"
    long.join()
    assert server.value("SELECT 1", **at, session_check="1") == "1"
    assert server.ask("SELECT 1", session_id="x", session_timeout="-1").status_code == 400


def test_failed_small_answers_do_not_reach_the_next_statement_of_the_session(server: Any) -> None:
    at = {"session_id": uuid4().hex}
    assert server.ask("EXPLAIN SELECT * FROM nowhere", **at).status_code >= 400
    assert server.value("SHOW DATABASES LIKE 'ml'", **at) == "ml"


def test_query_ids_are_echoed_unique_and_seen_in_the_process_list(server: Any) -> None:
    answer = server.ask("SELECT splitByChar(' ', Settings['log_comment']) FROM system.processes", query_id="my-id")
    assert answer.headers["X-ClickHouse-Query-Id"] == "my-id" and "my-id" in answer.text
    long = threading.Thread(target=server.ask, args=("SELECT sleep(2)",), kwargs={"query_id": "twice"})
    long.start()
    wait_until(lambda: running(server, "sleep(2)") == 1)
    assert server.ask("SELECT 1", query_id="twice").headers["X-ClickHouse-Exception-Code"] == "216"
    long.join()


def test_a_repeated_token_inserts_once_in_the_table_and_its_views(server: Any) -> None:
    window = "SETTINGS non_replicated_deduplication_window = 100"
    server.value(f"CREATE TABLE ml.tok (a UInt64) ENGINE = MergeTree ORDER BY a {window}")
    server.value(f"CREATE TABLE ml.tok_sum (n UInt64) ENGINE = SummingMergeTree ORDER BY tuple() {window}")
    server.value("CREATE MATERIALIZED VIEW ml.tok_mv TO ml.tok_sum AS SELECT count() AS n FROM ml.tok")
    settings = {"insert_deduplication_token": "b1", "deduplicate_blocks_in_dependent_materialized_views": "1"}
    for _ in range(3):
        assert server.ask("INSERT INTO ml.tok FORMAT TSV\n1\n2\n", **settings).status_code == 200
    server.ask("INSERT INTO ml.tok FORMAT TSV\n3\n", **{**settings, "insert_deduplication_token": "b2"})
    assert server.value("SELECT count() FROM ml.tok") == server.value("SELECT sum(n) FROM ml.tok_sum") == "3"


def test_unknown_settings_and_unreadable_forms_are_clear_errors(server: Any) -> None:
    unknown = server.ask("SELECT 1", no_such_setting="1")
    assert unknown.status_code == 404 and "no_such_setting" in unknown.text
    form = server.client.post(
        server.url, content=b"junk", auth=("writer", "w-secret"), headers={"Content-Type": "multipart/form-data"}
    )
    assert form.status_code == 400 and "multipart" in form.text
    assert server.ask(b"SELECT '\xff'").status_code == 400
    assert server.ask("").headers["X-ClickHouse-Exception-Code"] == "62"


def test_values_may_hold_expressions_and_arrive_in_pieces(server: Any) -> None:
    server.value("CREATE TABLE ml.vals (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    rows = ", ".join(f"({i}, concat('a', 'b;'))" for i in range(20_000))
    body = io.BytesIO(f"INSERT INTO ml.vals (a, b) VALUES {rows}".encode())
    pieces = iter(lambda: body.read(5000), b"")
    assert server.client.post(server.url, content=pieces, auth=("writer", "w-secret")).status_code == 200
    assert server.value("SELECT count(), any(b) FROM ml.vals") == "20000\tab;"


@pytest.mark.parametrize(
    ("table", "rows", "expected"),
    [
        ("(a UInt64, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a", "1\n7\n", "VIOLATED_CONSTRAINT"),
        ("(a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS parts_to_throw_insert = 1", "1\n", "TOO_MANY_PARTS"),
    ],
)
def test_an_insert_whose_write_fails_is_an_error(server: Any, table: str, rows: str, expected: str) -> None:
    """The engine's streaming insert reports no error, and counts the rows as written."""
    name = f"refusing_{expected.lower()}"
    server.value(f"CREATE TABLE {name} {table}")
    if expected == "TOO_MANY_PARTS":
        server.value(f"INSERT INTO {name} SELECT 0")
    before = server.value(f"SELECT count() FROM {name}")
    for _ in range(2):
        answer = server.ask(rows, query=f"INSERT INTO {name} FORMAT TSV")
        assert answer.status_code == 500 and expected in answer.text, answer.text
    assert server.value(f"SELECT count() FROM {name}") == before


def test_a_failed_insert_does_not_affect_a_concurrent_one(server: Any) -> None:
    server.value("CREATE TABLE refusing_beside (a UInt64, CONSTRAINT no CHECK a < 5) ENGINE = MergeTree ORDER BY a")
    server.value("CREATE TABLE taking_beside (a UInt64) ENGINE = MergeTree ORDER BY a")

    def insert(number: int) -> tuple[bool, int, str]:
        fails = number % 3 == 0
        name = "refusing_beside" if fails else "taking_beside"
        answer = server.ask(f"{number + 5}\n", query=f"INSERT INTO {name} FORMAT TSV")
        return fails, answer.status_code, answer.text

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(insert, range(60)))
    assert all(status == 500 for fails, status, _ in answers if fails)
    unsure = [text for fails, status, text in answers if not fails and status != 200]
    assert all("SYSTEM_ERROR" in text for text in unsure), unsure  # retryable, not an error in a row
    assert server.value("SELECT count() FROM refusing_beside") == "0"


@pytest.mark.parametrize("user", ["writer", "reader"])
def test_query_ids_are_the_clients_own(server: Any, user: str) -> None:
    query_id = f"it's-{uuid4().hex}"
    answer = server.ask("SELECT queryID(), initial_query_id() AS i, i = queryID()", user, query_id=query_id)
    assert answer.text == f"{query_id}\t{query_id}\t1\n".replace("'", "\\'")
    assert answer.headers["X-ClickHouse-Query-Id"] == query_id
    named = server.ask("SELECT queryID() FORMAT TSVWithNames", user, query_id=query_id)
    assert named.text.startswith("queryID()\n")
    own = "SELECT p.query_id = {id:String}, query FROM system.processes AS p WHERE query_id = {id:String}"
    found = server.ask(own, user, query_id=query_id, param_id=query_id)
    assert found.text.startswith("1\tSELECT") and not re.search(r"/fd/\d", found.text)
    plain = "SELECT count() FROM system.processes WHERE processes.initial_query_id = {id:String} FORMAT TSV"
    assert server.ask(plain, user, query_id=query_id, param_id=query_id).text == "1\n"


@pytest.mark.parametrize("sql", ["SELECT 1 FRM x y z", "SELECT (1", "SELECT 1 SETTINGS", "SELECT 'x' AS"])
@pytest.mark.parametrize("user", ["writer", "reader"])
def test_a_syntax_error_quotes_the_statement_and_nothing_else(server: Any, sql: str, user: str) -> None:
    answer = server.ask(sql, user)
    assert answer.headers["X-ClickHouse-Exception-Code"] == "62"
    assert "/fd/" not in answer.text and "OUTFILE '" not in answer.text and "COMPRESSION" not in answer.text


@pytest.mark.parametrize(
    ("format", "content_type"),
    [
        ("JSONCompact", "application/json; charset=UTF-8"),
        ("NDJSON", "application/x-ndjson; charset=UTF-8"),
        ("CSVWithNamesAndTypes", "text/csv; charset=UTF-8; header=present"),
        ("TSVWithNames", "text/tab-separated-values; charset=UTF-8"),
        ("XML", "application/xml; charset=UTF-8"),
        ("MsgPack", "application/octet-stream"),
        ("RowBinaryWithNamesAndTypes", "application/octet-stream"),
        ("PrettyCompact", "text/plain; charset=UTF-8"),
    ],
)
def test_the_content_type_is_that_of_the_format(server: Any, format: str, content_type: str) -> None:
    assert server.ask(f"SELECT 1 FORMAT {format}").headers["Content-Type"] == content_type
    assert server.ask("SELECT 1", default_format=format).headers["Content-Type"] == content_type
    assert server.ask(f"SHOW DATABASES FORMAT {format}").headers["Content-Type"] == content_type


def test_the_default_database_is_an_ordinary_one_with_its_metadata(server: Any) -> None:
    table = f"t{uuid4().hex}"
    server.value(f"CREATE TABLE default.{table} (a UInt8 COMMENT 'first') ENGINE = MergeTree ORDER BY a")
    server.value(f"INSERT INTO {table} VALUES (7)", database="default")
    assert server.value(f"SELECT a FROM default.{table}", "reader") == "7"
    assert server.value(f"SELECT a FROM {table}", "reader", database="default") == "7"
    columns = f"SELECT name, comment FROM system.columns WHERE database = 'default' AND table = '{table}'"
    assert server.value(columns, "reader") == "a\tfirst"
    assert table in server.value("SHOW TABLES FROM default", "reader").split()
    unknown = server.ask("SELECT * FROM default.no_such_table", "reader")
    assert (unknown.status_code, unknown.headers["X-ClickHouse-Exception-Code"]) == (404, "60")
