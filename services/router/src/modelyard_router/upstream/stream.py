"""An answer in pieces: one connection per stream, HTTP/1.1 with chunked or counted body, plain or TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import httptools

from modelyard_router.domain.leaves import Address
from modelyard_router.domain.upstreams import CallFailed, CallTimedOut, CutShort, Times
from modelyard_router.upstream.pool import PoolLimits

READ_BYTES: Final = 64 << 10
MAX_HEAD_BYTES: Final = 64 << 10
SHORT_BODY_BYTES: Final = 1_000


async def open_stream(
    address: Address, request: bytes, limits: PoolLimits, times: Times, stall_s: float
) -> "HttpStream":
    """Send a request and wait for the head of its answer; CallFailed when it does not come in time.

    stall_s: longest pause between two pieces of the body.
    """
    loop, first_by = asyncio.get_running_loop(), times.answered_by
    where = f"{address.host}:{address.port}"
    try:
        async with asyncio.timeout_at(min(*times, loop.time() + limits.connect_timeout_s)):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=_context(address, limits))
    except TimeoutError as error:
        if loop.time() >= first_by:
            raise CallTimedOut(f"{where} accepted no connection before the deadline", sent=False) from error
        kind = CutShort if loop.time() >= times.sent_by else CallFailed
        raise kind("connect_timeout", f"{where} does not accept connections") from error
    except ssl.SSLError as error:
        raise CallFailed("tls", f"{where}: {error.reason or error}") from error
    except OSError as error:
        raise CallFailed("connect", f"{where}: {error.strerror or error}") from error
    stream = HttpStream(reader, writer, stall_s)
    try:
        writer.write(request)
        async with asyncio.timeout_at(first_by):
            await stream.read_head()
    except TimeoutError as error:
        await stream.close()
        raise CallTimedOut("no answer before the deadline") from error
    except BaseException:
        await stream.close()
        raise
    return stream


def _context(address: Address, limits: PoolLimits) -> ssl.SSLContext | None:
    return (limits.tls or ssl.create_default_context()) if address.tls else None


class HttpStream:
    """Implements Stream. Always close it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stall_s: float) -> None:
        self._reader, self._writer, self._stall_s = reader, writer, stall_s
        self._parser: Any = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._head_done = self._done = False
        self.status = 0
        self.digest = ""

    async def read_head(self) -> None:
        """Read until the head is complete."""
        size = 0
        while not self._head_done:
            size += await self._feed()
            if size > MAX_HEAD_BYTES and not self._head_done:
                raise CallFailed("protocol", f"a head of more than {MAX_HEAD_BYTES} bytes", answered=True)

    async def pieces(self) -> AsyncIterator[bytes]:
        """See Stream."""
        while True:
            while self._pieces:
                yield self._pieces.pop(0)
            if self._done:
                return
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._feed()
            except TimeoutError as error:
                raise CallTimedOut(f"the stream stalled for {self._stall_s:g} s") from error

    async def short_body(self) -> bytes:
        """The start of the body of an error; empty when it does not arrive."""
        body = b""
        try:
            async for piece in self.pieces():
                body += piece
                if len(body) >= SHORT_BODY_BYTES:
                    break
        except CallFailed:
            return body
        return body

    async def close(self) -> None:
        """See Stream."""
        self._writer.transport.abort()

    async def _feed(self) -> int:
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise CallFailed("reset", str(error), answered=self._head_done) from error
        if not data:
            raise CallFailed("reset", "the replica closed the connection", answered=self._head_done)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._done:
                raise CallFailed("protocol", f"not an HTTP answer: {error}", answered=True) from error
        return len(data)

    # called by httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-modelyard-digest":
            self.digest = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._head_done = not 100 <= self.status < 200

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._done = self._head_done
