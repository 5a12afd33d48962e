"""One keep-alive connection to a replica; one request at a time."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import httptools

from modelyard_router.domain.upstreams import CallFailed, CallTimedOut, Whole

MAX_ANSWER_BYTES: Final = 32 << 20
MAX_HEADS: Final = 256
TIMER_GRAIN_S: Final = 0.001
_END: Final = b"\r\n\r\n"


class AnswerHead(NamedTuple):
    """The parsed head of an answer."""

    status: int
    length: int
    keep_alive: bool


Done = Callable[[Whole | CallFailed], None]
"""Called with the outcome of a request from within the read callback: a future and a task switch would cost more."""


class Owner(Protocol):
    """The pool that a connection belongs to."""

    heads: dict[bytes, AnswerHead]
    """Parsed answer heads by their bytes."""

    def release(self, connection: "Connection") -> None:
        """Its answer is complete."""

    def forget(self, connection: "Connection") -> None:
        """It is closed."""


class Connection(asyncio.Protocol):
    """Made by a pool, which is notified when the connection becomes idle or is lost."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner, self._loop = owner, loop
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
        self._heads = owner.heads
        self._in_answer = False
        """The parser is inside an answer."""
        self._single_piece = b""
        """All bytes of the answer, if they arrived in one piece."""
        self._answer: Whole | None = None
        """A complete answer, while the parser reads the bytes after it."""
        self._surplus = False
        """Bytes followed the answer: they would be taken for part of the next one."""
        self.closed = False
        self.idle_since = 0.0
        self.used = False
        """A request was answered on it before."""

    def send(self, data: bytes, deadline: float, done: Done) -> None:
        """Write a complete request; `done` gets the outcome. deadline: on the loop's clock."""
        self._done, self._deadline, self._answered = done, deadline, False
        if self._timer is None or self._timer_at > deadline:
            self._set_timer(deadline)
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # called by asyncio

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            self.close()  # bytes without a request: the next answer could not be trusted
            return
        self._answered = True
        end = data.find(_END)
        if not self._in_answer and (head := self._heads.get(data[:end])) and head.length == len(data) - end - 4:
            if head.keep_alive:
                done, self._done, self.used = self._done, None, True
                self._owner.release(self)
                done(Whole(head.status, data[end + 4 :]))
            else:
                self._complete(head.status, data[end + 4 :], keep_alive=False)
            return
        self._parse(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owner.forget(self)
        detail = str(error) if error else "the replica closed the connection"
        self._settle(CallFailed("reset", detail, answered=self._answered))

    # called by httptools

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
            detail = f"an answer of more than {MAX_ANSWER_BYTES} bytes"
            self._settle(CallFailed("answer_too_large", detail, answered=True))
            self.close()

    def on_message_complete(self) -> None:
        if 100 <= self._status < 200 or self._done is None or self._answer is not None:
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._in_answer = False
        self._cache_head(self._single_piece, len(body))
        self._answer = Whole(self._status, body)

    # parsing

    def _parse(self, data: bytes) -> None:
        self._in_answer, self._single_piece = True, b"" if self._in_answer else data
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

    def _cache_head(self, data: bytes, length: int) -> None:
        """Cache the head of an answer that arrived in one piece and whose body is all that follows the head.

        A later answer with the same head has the same status and length, so it need not be parsed.
        """
        end = data.find(_END)
        if end > 0 and len(data) - end - 4 == length:
            if len(self._heads) >= MAX_HEADS:  # they contain the date: a new one every second
                self._heads.clear()
            self._heads[data[:end]] = AnswerHead(self._status, length, self._keep_alive)

    # the end of a request

    def _complete(self, status: int, body: bytes, *, keep_alive: bool) -> None:
        self.used = True
        if not keep_alive:
            self.closed = True
            self._transport.close()
        self._settle(Whole(status, body))

    def _settle(self, outcome: Whole | CallFailed) -> None:
        """Release first, so that the callee of `done` finds this connection among the idle ones."""
        done, self._done = self._done, None
        if self._size:
            self._chunks = []
            self._size = 0
        if done is None:
            return
        if type(outcome) is Whole:
            self._owner.release(self)
        done(outcome)

    def _set_timer(self, at: float) -> None:
        """One timer for many requests: instead of moving it with each, check the deadline on expiry."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._on_timer), at

    def _on_timer(self) -> None:
        self._timer = None
        if self._done is None:
            return
        if self._deadline > self._loop.time() + TIMER_GRAIN_S:
            self._set_timer(self._deadline)
            return
        self.closed = True
        self._settle(CallTimedOut("no answer before the deadline"))
        self.close()  # a late answer must not be taken for the next request's
