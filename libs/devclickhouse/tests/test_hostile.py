"""Hostile input: whatever a client sends, it gets an error of its own, and the server goes on."""

import json
import socket
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlencode

import brotli
import httpx
import pytest

from modelyard_runtime.connection import HEAD_TIMEOUT_S, MAX_HEAD_BYTES

pytestmark = pytest.mark.usefixtures("loopback")

READER = ("reader", "r-secret")
PARAMETERS = [
    "database",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "quota_key",
    "role",
    "buffer_size",
    "compress",
    "decompress",
    "client_protocol_version",
    "wait_end_of_query",
    "close_session",
    "stacktrace",
    "log_comment",
    "default_format",
    "limit",
    "offset",
    "network_compression_method",
    "max_threads",
    "max_execution_time",
    "session_timezone",
    "param_x",
    "extremes",
    "e_format",
    "e_structure",
]
VALUES = {
    "a lone surrogate": b"\xed\xa0\x80",
    "no UTF-8": b"\xff\xfe",
    "a null byte": b"a\x00b",
    "quotes": b"'" * 50,
    "depth": b"[" * 3000,
    "a huge integer": b"9" * 5000,
    "an endless float": b"1e400",
    "NaN": b"NaN",
    "an offset before the first year": b"0001-01-01T00:00:00+14:00",
    "a long text": b"x" * 20_000,
    "a line break": b"a\r\nb",
    "a backslash": b"\\",
}
STATEMENTS = {
    "parentheses": b"SELECT " + b"(" * 5000 + b"1" + b")" * 5000,
    "brackets": b"SELECT " + b"[" * 3000 + b"]" * 3000,
    "a deep type": b"SELECT CAST(1, '" + b"Array(" * 2000 + b"Int8" + b")" * 2000 + b"')",
    "a deep tree": b"SELECT " + b"NOT " * 5000 + b"1",
    "deep subqueries": b"SELECT * FROM " + b"(SELECT * FROM " * 500 + b"system.one" + b")" * 500,
    "open comments": b"SELECT " + b"/* " * 3000,
    "a lone surrogate": b"SELECT '\xed\xa0\x80'",
    "no UTF-8": b"SELECT \xff",
    "a huge setting": b"SELECT 1 SETTINGS max_threads = " + b"9" * 50,
    "an endless limit": b"SELECT 1 LIMIT 1e400",
    "texts of SQL in one another": b"CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY "
    + b"".join(b"$a%d$ SOURCE(CLICKHOUSE(QUERY " % n for n in range(1000))
    + b"".join(b" $a%d$" % n for n in reversed(range(1000)))
    + b"))",
}


def is_the_clients_error(answer: httpx.Response) -> bool:
    return answer.status_code == 200 or (400 <= answer.status_code < 500 and "Code: " in answer.text)


@pytest.mark.parametrize("value", VALUES)
def test_no_parameter_makes_an_error_of_the_server(server: Any, value: str) -> None:
    for name in sorted(PARAMETERS):
        sql = "SELECT {x:String}" if name == "param_x" else "SELECT 1"
        answer = server.client.post(f"{server.url}?{name}={quote(VALUES[value])}", content=sql, auth=READER)
        assert is_the_clients_error(answer) or answer.status_code == 423, f"{name}: {answer.text}"


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["user", "password"])
def test_no_credentials_make_an_error_of_the_server(server: Any, name: str, value: str) -> None:
    answer = server.client.post(f"{server.url}?{name}={quote(VALUES[value])}", content="SELECT 1")
    assert answer.status_code in (400, 403)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_statement_makes_an_error_of_the_server(server: Any, statement: str) -> None:
    answer = server.client.post(server.url, content=STATEMENTS[statement], auth=("writer", "w-secret"))
    assert 400 <= answer.status_code < 500, answer.text
    assert "X-ClickHouse-Exception-Code" in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": b"Basic \xff"},
        {"Authorization": b"Basic gICA"},
        {"Authorization": b"Basic " + b"A" * 20_000},
        {"X-ClickHouse-User": b"\xff", "X-ClickHouse-Key": b"\xff"},
    ],
)
def test_unreadable_headers_of_credentials_are_refused(server: Any, headers: dict[str, bytes]) -> None:
    assert server.client.post(server.url, content="SELECT 1", headers=headers).status_code == 403


@pytest.mark.parametrize("structure", ["a " + "Array(" * 2000 + "Int8" + ")" * 2000, "a Int8, " * 3000, "a"])
def test_no_structure_of_an_external_table_makes_an_error_of_the_server(server: Any, structure: str) -> None:
    form = {"query": (None, "SELECT * FROM e"), "e_structure": (None, structure), "e": ("e", b"1\n")}
    assert is_the_clients_error(server.client.post(server.url, files=form, auth=READER))


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 20_000, '; boundary="'])
def test_a_broken_form_is_the_clients_error(server: Any, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    answer = server.client.post(f"{server.url}?query=SELECT+1", content=b"--B\r\nx", headers=headers, auth=READER)
    assert answer.status_code == 400 and "multipart" in answer.text


def connect(server: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def test_an_endless_head_without_a_key_is_refused(server: Any) -> None:
    """The answer comes though the client is still sending."""
    line = b"X-Filler: " + b"y" * 4000 + b"\r\n"
    with connect(server) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(32 * MAX_HEAD_BYTES // len(line)):
            sock.sendall(line)
        assert sock.recv(1000).startswith(b"HTTP/1.1 431 ")


@pytest.mark.slow
def test_half_a_head_is_closed_after_its_time(server: Any) -> None:
    with connect(server) as idle, connect(server) as half:
        half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Half: ")
        idle.settimeout(HEAD_TIMEOUT_S * 6)
        half.settimeout(HEAD_TIMEOUT_S * 6)
        assert half.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert idle.recv(1000) == b""


def test_a_request_to_upgrade_keeps_its_body(server: Any) -> None:
    """As Java's client sends it."""
    secret = b64encode(b"reader:r-secret").decode()
    head = (
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {secret}\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        "Upgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Length: 9\r\n\r\n"
    )
    with connect(server) as sock:
        sock.sendall(head.encode() + b"SELECT 42")
        sock.settimeout(60)
        answer = b""
        while not answer.endswith(b"42\n"):
            more = sock.recv(1000)
            assert more, answer
            answer += more
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_brotli_is_decoded_and_encoded(server: Any) -> None:
    body = brotli.compress(b"SELECT number FROM numbers(1000) FORMAT JSONCompact")
    headers = {"Content-Encoding": "br", "Accept-Encoding": "br"}
    query = urlencode({"enable_http_compression": 1})
    request = server.client.build_request("POST", f"{server.url}?{query}", content=body, headers=headers)
    request.headers["Authorization"] = "Basic " + b64encode(b"reader:r-secret").decode()
    answer = server.client.send(request, stream=True)
    raw = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == "br"
    assert json.loads(brotli.decompress(raw))["rows"] == 1000


@pytest.mark.parametrize("body", [b"no brotli at all", brotli.compress(b"SELECT 1")[:-2]])
def test_a_broken_brotli_body_is_the_clients_error(server: Any, body: bytes) -> None:
    answer = server.client.post(server.url, content=body, headers={"Content-Encoding": "br"}, auth=READER)
    assert answer.status_code == 400


def test_a_brotli_body_of_many_megabytes_is_decoded_in_pieces(server: Any) -> None:
    server.value("CREATE TABLE IF NOT EXISTS ml.brotli (a String) ENGINE = Memory")
    body = brotli.compress(b"INSERT INTO ml.brotli FORMAT LineAsString\n" + (b"x" * 999 + b"\n") * 20_000, quality=1)
    headers = {"Content-Encoding": "br"}
    answer = server.client.post(server.url, content=body, headers=headers, auth=("writer", "w-secret"))
    assert answer.status_code == 200, answer.text
    assert server.value("SELECT count(), sum(length(a)) FROM ml.brotli") == f"20000\t{999 * 20_000}"
