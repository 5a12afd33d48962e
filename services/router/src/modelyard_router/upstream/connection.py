"""One keep-alive connection to a replica; one request at a time."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import httptools

MAX_ANSWER_BYTES: Final = 32 << 20
MAX_HEADS: Final = 256
_END: Final = b"\r\n\r\n"


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


class Known(NamedTuple):
    """What an answer's head says."""

    status: int
    length: int
    keep_alive: bool


Done = Callable[[Reply | CallFailed], None]
"""Told what came of a request, from within the loop's reading: a future and a task switch would cost more than this."""


class Connection(asyncio.Protocol):
    """Made by a Pool, which is told when the connection becomes free or is lost."""

    def __init__(self, pool: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._loop = pool, loop
        self._transport: Any = None
        self._done: Done | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._parser: Any = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._status = 0
        self._keep_alive = False
        self._answered = False
        self._heads: dict[bytes, Known] = pool.heads
        self._reading = False
        """The parser is in the middle of an answer."""
        self._whole = b""
        """All that came of it, if that was one piece."""
        self._answer: Reply | None = None
        """A whole answer, while the parser looks at what came behind it."""
        self._surplus = False
        """Something did: it would be taken for a part of the next answer."""
        self.closed = False
        self.idle_since = 0.0
        self.used = False
        """A request was answered on it before."""

    def send(self, data: bytes, deadline: float, done: Done) -> None:
        """Write a whole request; `done` is told the answer, or why there is none. deadline: on the loop's clock."""
        self._done, self._deadline, self._answered = done, deadline, False
        if self._timer is None or self._timer_at > deadline:
            self._arm(deadline)
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            self.close()  # bytes nobody asked for: the next answer could not be trusted
            return
        self._answered = True
        end = data.find(_END)
        if not self._reading and (known := self._heads.get(data[:end])) and known.length == len(data) - end - 4:
            if known.keep_alive:
                done, self._done, self.used = self._done, None, True
                self._pool.free(self)
                done(Reply(known.status, data[end + 4 :]))
            else:
                self._complete(known.status, data[end + 4 :], keep_alive=False)
            return
        self._reading, self._whole = True, b"" if self._reading else data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._answer is None:
                self._settle(CallFailed("protocol", f"not an HTTP answer: {error}", answered=True))
                self.close()
                return
            self._surplus = True
        if self._answer is not None:
            answer, self._answer = self._answer, None
            self._complete(*answer, keep_alive=self._keep_alive and not self._surplus)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pool.lost(self)
        detail = str(error) if error else "the replica closed the connection"
        self._settle(CallFailed("reset", detail, answered=self._answered))

    # httptools' side

    def on_message_begin(self) -> None:
        self._surplus = self._answer is not None

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        if self._answer is not None:
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > MAX_ANSWER_BYTES:
            self._settle(
                CallFailed("answer_too_large", f"an answer of more than {MAX_ANSWER_BYTES} bytes", answered=True)
            )
            self.close()

    def on_message_complete(self) -> None:
        if 100 <= self._status < 200 or self._done is None or self._answer is not None:
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._reading = False
        self._learn(self._whole, len(body))
        self._answer = Reply(self._status, body)

    def _learn(self, data: bytes, length: int) -> None:
        """Remember the head of an answer that came in one piece, its body as long as what follows the head.

        The next answer with the same head says the same of itself, so it need not be parsed.
        """
        end = data.find(_END)
        if end > 0 and len(data) - end - 4 == length:
            if len(self._heads) >= MAX_HEADS:  # they hold the date: a new one every second
                self._heads.clear()
            self._heads[data[:end]] = Known(self._status, length, self._keep_alive)

    def _complete(self, status: int, body: bytes, *, keep_alive: bool) -> None:
        self.used = True
        if not keep_alive:
            self.closed = True
            self._transport.close()
        self._settle(Reply(status, body))

    # the end of a request

    def _settle(self, outcome: Reply | CallFailed) -> None:
        """Free first, so that whoever is told finds this connection among the idle ones."""
        done, self._done = self._done, None
        if self._size:
            self._chunks = []
            self._size = 0
        if done is None:
            return
        if type(outcome) is Reply:
            self._pool.free(self)
        done(outcome)

    def _arm(self, at: float) -> None:
        """One timer for many requests: it is not moved with each, but looks at the deadline when it comes up."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._look), at

    def _look(self) -> None:
        self._timer = None
        if self._done is None:
            return
        if self._deadline > self._loop.time() + 0.001:  # a timer's grain
            self._arm(self._deadline)
            return
        self.closed = True
        self._settle(CallTimedOut("no answer before the deadline"))
        self.close()  # a late answer must not be taken for the next request's
