"""One keep-alive connection to a replica; one request at a time."""

import asyncio
from typing import Any, Final, NamedTuple

import httptools

MAX_ANSWER_BYTES: Final = 32 << 20


class CallFailed(Exception):
    """No answer came; `reason` is a word for headers and metrics."""

    def __init__(self, reason: str, detail: str, *, answered: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.answered = answered
        """Whether any byte of an answer had come."""


class CallTimedOut(CallFailed):
    """The deadline passed."""

    def __init__(self, detail: str) -> None:
        super().__init__("timeout", detail)


class Reply(NamedTuple):
    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """Made by a Pool, which is told when the connection becomes free or is lost."""

    def __init__(self, pool: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._loop = pool, loop
        self._transport: Any = None
        self._future: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser: Any = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._status = 0
        self._keep_alive = False
        self._answered = False
        self.closed = False
        self.idle_since = 0.0
        self.used = False
        """A request was answered on it before."""

    def send(self, data: bytes, deadline: float) -> "asyncio.Future[Reply]":
        """Write a whole request; the future has the answer, or CallFailed. deadline: on the loop's clock."""
        self._future = future = self._loop.create_future()
        self._timer = self._loop.call_at(deadline, self._expire)
        self._answered = False
        self._transport.write(data)
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        if self._future is None:
            self.close()  # bytes nobody asked for: the next answer could not be trusted
            return
        self._answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(CallFailed("protocol", f"not an HTTP answer: {error}", answered=True))
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        detail = str(error) if error else "the replica closed the connection"
        self._fail(CallFailed("reset", detail, answered=self._answered))
        self._pool.lost(self)

    # httptools' side

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._size += len(body)
        if self._size > MAX_ANSWER_BYTES:
            self._fail(
                CallFailed("answer_too_large", f"an answer of more than {MAX_ANSWER_BYTES} bytes", answered=True)
            )
            self.close()

    def on_message_complete(self) -> None:
        if 100 <= self._status < 200:
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        future = self._settle()
        if future is None:
            return
        self.used = True
        if not self._keep_alive:
            self.closed = True
            self._transport.close()
        self._pool.free(self)
        if not future.done():
            future.set_result(Reply(self._status, body))

    def _expire(self) -> None:
        self._timer = None
        self._fail(CallTimedOut("no answer before the deadline"))
        self.closed = True
        self.close()  # a late answer must not be taken for the next request's

    def _fail(self, error: CallFailed) -> None:
        future = self._settle()
        if future is not None and not future.done():
            future.set_exception(error)

    def _settle(self) -> "asyncio.Future[Reply] | None":
        future, self._future = self._future, None
        self._chunks = []
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return future
