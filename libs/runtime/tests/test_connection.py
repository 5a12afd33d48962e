"""Limits of a connection: endless heads, callers that stop in the middle, upgrades that are not supported."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import Depends
from uvicorn.server import ServerState

from modelyard_devstack.testing import eventually
from modelyard_runtime.access import Authenticator
from modelyard_runtime.clock import system_clock
from modelyard_runtime.connection import MAX_HEAD_BYTES, GuardedProtocol
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import Edge, allow, create_app

KEY = "an-admin-key-of-some-length"
UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
PATIENCE_S = 20.0


class Hasty(GuardedProtocol):
    head_timeout_s = 0.3


class Counting(GuardedProtocol):
    """Counts the bytes that a server received."""

    received = 0

    def data_received(self, data: bytes) -> None:
        type(self).received += len(data)
        super().data_received(data)


@pytest.fixture
def counting() -> type[Counting]:
    return type("CountingOfTest", (Counting,), {})


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def deliver(self, data: bytes, counting: type[Counting]) -> None:
        """Send and wait until the server received it, so that the next part arrives alone."""
        before = counting.received
        self.send(data)
        await eventually(lambda: counting.received == before + len(data), PATIENCE_S)

    async def answer(self) -> tuple[int, Any]:
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def ended(self) -> bytes:
        """All that still comes, up to the end that the server makes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


class Echo:
    """Answers with the method, path and body of the request."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        echo = json.dumps({"method": scope["method"], "path": scope["path"], "body": body.decode()}).encode()
        headers = [(b"content-length", b"%d" % len(echo))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": echo})


@asynccontextmanager
async def serving(app: Any, protocol: type[asyncio.Protocol]) -> AsyncIterator[Any]:
    """A function that opens a connection."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None))
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    opened = []

    async def connect() -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
        opened.append(connection)
        return connection

    try:
        yield connect
    finally:
        for connection in opened:
            connection.writer.close()
        await server.shutdown()


def post(path: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b" % (path, headers, len(body), body)


async def test_a_request_that_asks_for_an_upgrade_keeps_its_body_and_its_connection() -> None:
    async with serving(Echo(), GuardedProtocol) as connect:
        connection = await connect()
        connection.send(post(b"/a", b"first", UPGRADE) + post(b"/b", b"second"))
        assert await connection.answer() == (200, {"method": "POST", "path": "/a", "body": "first"})
        assert await connection.answer() == (200, {"method": "POST", "path": "/b", "body": "second"})


async def test_the_body_after_an_upgrade_is_never_read_as_a_request(counting: type[Counting]) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    whole = post(b"/a", smuggled, UPGRADE)
    async with serving(Echo(), counting) as connect:
        connection = await connect()
        for part in (whole[:-30], whole[-30:], post(b"/b", b"next")):
            await connection.deliver(part, counting)
        assert await connection.answer() == (200, {"method": "POST", "path": "/a", "body": smuggled.decode()})
        assert (await connection.answer())[1]["path"] == "/b"


async def test_a_request_for_a_web_socket_is_an_ordinary_request() -> None:
    async with serving(Echo(), GuardedProtocol) as connect:
        connection = await connect()
        connection.send(b"GET /chat HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert (await connection.answer())[1] == {"method": "GET", "path": "/chat", "body": ""}


@pytest.mark.parametrize(
    "request_",
    [b"CONNECT /x HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HTTP/1.1\r\nbad\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"],
)
async def test_what_is_no_request_gets_a_problem_and_the_end(request_: bytes) -> None:
    async with serving(Echo(), GuardedProtocol) as connect:
        connection = await connect()
        connection.send(request_)
        status, problem = await connection.answer()
        assert (status, problem["code"]) == (400, "bad_request")
        assert await connection.ended() == b""


class Wire(asyncio.Transport):
    """A connection without a network: what was written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False


async def test_a_head_without_end_is_cut_off() -> None:
    protocol, wire = GuardedProtocol(uvicorn.Config(Echo(), log_config=None), ServerState(), {}), Wire()
    protocol.connection_made(wire)
    protocol.data_received(b"GET / HTTP/1.1\r\nx: ")
    for _ in range(MAX_HEAD_BYTES // 1024):
        protocol.data_received(b"a" * 1024)
    assert not wire.written
    protocol.data_received(b"a")
    assert wire.closed
    assert wire.written.startswith(b"HTTP/1.1 431 ")
    assert json.loads(wire.written.split(b"\r\n\r\n")[1])["code"] == "request_header_fields_too_large"
    protocol.connection_lost(None)


async def test_a_head_in_small_pieces_is_read() -> None:
    whole = post(b"/a", b"body", b"x-long: %b\r\n" % (b"a" * 8_000))
    async with serving(Echo(), GuardedProtocol) as connect:
        connection = await connect()
        for start in range(0, len(whole), 500):
            connection.send(whole[start : start + 500])
            await asyncio.sleep(0)
        assert (await connection.answer())[1]["body"] == "body"


async def test_half_a_head_is_not_waited_for() -> None:
    async with serving(Echo(), Hasty) as connect:
        silent, half, second = [await connect() for _ in range(3)]
        half.send(b"GET / HTTP/1.1\r\nhost:")
        second.send(post(b"/a", b"") + b"GET / HT")
        assert await silent.ended() == b""
        assert (await half.answer())[1]["code"] == "request_timeout"
        assert (await second.answer())[0] == 200
        assert (await second.answer())[1]["code"] == "request_timeout"


async def test_a_long_answer_is_not_cut_off_by_half_a_head_after_it(
    counting: type[Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "head_timeout_s", Hasty.head_timeout_s)
    go = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await Echo()(scope, receive, send)

    async with serving(slow, counting) as connect:
        connection = await connect()
        await connection.deliver(post(b"/a", b"body"), counting)
        await connection.deliver(b"GET / HT", counting)
        later = await connect()
        assert await later.ended() == b"", "its time for a head began later, so that of the first is over too"
        go.set()
        assert (await connection.answer())[1]["body"] == "body"


async def test_a_body_that_stops_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, readiness: Readiness, counting: type[Counting]
) -> None:
    monkeypatch.setattr(Edge, "body_pause_s", 2.0)
    app = create_app(service="toy", authenticator=Authenticator(KEY, None, system_clock), readiness=readiness)

    @app.post("/things", dependencies=[Depends(allow("create", "model"))])
    async def add(thing: dict[str, int]) -> dict[str, int]:
        return thing

    key = b"authorization: Bearer %b\r\ncontent-type: application/json\r\n" % KEY.encode()
    async with serving(app, counting) as connect:
        nothing, half, slowly = [await connect() for _ in range(3)]
        await nothing.deliver(b"POST /things HTTP/1.1\r\n%bcontent-length: 100\r\n\r\n" % key, counting)
        await half.deliver(b"POST /things HTTP/1.1\r\n%bcontent-length: 100\r\n\r\n{" % key, counting)
        for part in (b"POST /things HTTP/1.1\r\n%bcontent-length: 8\r\n\r\n{" % key, b'"a"', b": 1}"):
            await slowly.deliver(part, counting)
        assert await slowly.answer() == (200, {"a": 1})
        for connection in (nothing, half):
            status, problem = await connection.answer()
            assert (status, problem["code"]) == (408, "request_timeout")
            assert await connection.ended() == b""


class Refusing:
    """Answers before it has read the body. closing: with `connection: close`."""

    def __init__(self, *, closing: bool) -> None:
        self._headers = [(b"connection", b"close")] if closing else []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [*self._headers, (b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": b"null"})


@pytest.mark.parametrize("closing", [True, False])
@pytest.mark.parametrize("length", [b"content-length: 30000000", b"transfer-encoding: chunked"])
async def test_an_early_answer_reaches_a_caller_that_is_still_sending(closing: bool, length: bytes) -> None:
    async with serving(Refusing(closing=closing), GuardedProtocol) as connect:
        connection = await connect()
        connection.send(b"POST /a HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n")
        for _ in range(200):
            piece = b"x" * 100_000
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if b"chunked" in length else piece)
        async with asyncio.timeout(PATIENCE_S):
            await connection.writer.drain()
        assert await connection.answer() == (413, None)


async def test_a_refusal_of_the_protocol_reaches_a_caller_that_is_still_sending() -> None:
    async with serving(Echo(), GuardedProtocol) as connect:
        connection = await connect()
        connection.send(b"NOT HTTP\r\n\r\n" + b"x" * 10_000_000)
        async with asyncio.timeout(PATIENCE_S):
            await connection.writer.drain()
        assert (await connection.answer())[0] == 400
