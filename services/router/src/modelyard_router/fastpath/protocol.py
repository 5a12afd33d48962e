"""uvicorn's protocol with the fast path in front of it.

The only module of the router that uses uvicorn beyond its public API. Written for uvicorn 0.30 to 0.54 with httptools:
it reads `cycle`, `flow`, `tasks`, `server_state` and the keep-alive timer of HttpToolsProtocol. When an attribute is
missing, `protocol_of` returns the plain GuardedProtocol and every request takes the ordinary path.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from modelyard_router.domain.leaves import Header
from modelyard_router.domain.requests import Reply
from modelyard_router.fastpath.fast_path import FastPath
from modelyard_runtime.connection import GuardedProtocol

NEEDED: Final = (
    "self.cycle",
    "self.flow",
    "self.tasks",
    "self.server_state",
    "self.timeout_keep_alive_task",
    "def timeout_keep_alive_handler",
    "def on_message_begin",
    "def on_message_complete",
    "def shutdown",
)
"""Names in the source of HttpToolsProtocol that this module depends on."""
log = logging.getLogger(__name__)


class FastPathProtocol(GuardedProtocol):
    """One client connection. Subclassed by `protocol_of`, which binds the fast path."""

    fast_path_of: Callable[[], FastPath | None]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._fast_path = type(self).fast_path_of()
        self._in_fast_path = False
        """A request is on the fast path: its answer comes first."""
        self._in_request = False
        """uvicorn's parser is inside a request."""
        self._queued: list[bytes] = []
        """Bytes that arrived while a request was on the fast path."""
        self._last_answer = 0.0
        self._stopping = False

    # input

    def data_received(self, data: bytes) -> None:
        if self._in_fast_path:
            self._queued.append(data)
            self.flow.pause_reading()
            return
        free = not self._in_request and (self.cycle is None or self.cycle.response_complete)
        if free and self._fast_path is not None and not self._stopping:
            self._in_fast_path = True  # before `take`: a replica may answer inside the call
            if self._fast_path.take(self, data):
                return
            self._in_fast_path = False
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_request = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._in_request = False
        super().on_message_complete()

    # output

    def respond(self, head: bytes, body: bytes) -> None:
        """End a request of the fast path."""
        self._in_fast_path = False
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        date = _default_headers(self.server_state.default_headers)
        if self._stopping:
            self.transport.write(b"%b%bconnection: close\r\n\r\n%b" % (head, date, body))
            self.transport.close()
            return
        self.transport.write(b"%b%b\r\n%b" % (head, date, body))
        self._last_answer = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idle(self.timeout_keep_alive)
        if self._queued:
            self._read_queued()

    def respond_later(self, reply: Awaitable[Reply]) -> None:
        task = self.loop.create_task(self._respond_with(reply))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _respond_with(self, reply: Awaitable[Reply]) -> None:
        status, headers, body = await reply
        self.respond(raw_head(STATUS_LINE[status], [*headers, (b"content-length", b"%d" % len(body))]), body)

    def _read_queued(self) -> None:
        data = b"".join(self._queued)
        self._queued = []
        self.flow.resume_reading()
        self.data_received(data)

    # keep-alive and shutdown

    def timeout_keep_alive_handler(self) -> None:
        """One timer for many requests: instead of moving it with each, check on expiry how long it was idle."""
        self.timeout_keep_alive_task = None
        idle_s = self.loop.time() - self._last_answer
        if self._in_fast_path or idle_s < self.timeout_keep_alive - 0.01:
            self._watch_idle(self.timeout_keep_alive if self._in_fast_path else self.timeout_keep_alive - idle_s)
        else:
            super().timeout_keep_alive_handler()

    def head_is_awaited(self) -> bool:
        """Heads on the fast path are complete when they are read: the parser never sees them."""
        return super().head_is_awaited() and not self._in_fast_path and bool(self._in_request or not self._last_answer)

    def _watch_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """Called by uvicorn when the service stops: answer the request in flight, then close."""
        if self._in_fast_path:
            self._stopping = True
        else:
            super().shutdown()


def raw_head(status_line: bytes, headers: list[Header]) -> bytes:
    """A head in the form that `respond` takes."""
    return status_line + b"".join([b"%b: %b\r\n" % header for header in headers])


_last_default: tuple[object, bytes] = (None, b"")


def _default_headers(headers: list[Header]) -> bytes:
    """uvicorn's own headers, the date: a new list every second."""
    global _last_default
    if _last_default[0] is not headers:
        _last_default = headers, raw_head(b"", headers)
    return _last_default[1]


def missing_internals() -> list[str]:
    """Names of NEEDED that the installed uvicorn does not have."""
    source = inspect.getsource(HttpToolsProtocol)
    return [name for name in NEEDED if name not in source]


def protocol_of(fast_path_of: Callable[[], FastPath | None]) -> type[asyncio.Protocol]:
    """For uvicorn, which makes one per connection; `fast_path_of` is called then, as it is created after the server."""
    if missing := missing_internals():
        log.warning("uvicorn has no %s: every request takes the ordinary path", ", ".join(missing))
        return GuardedProtocol
    return type("RouterProtocol", (FastPathProtocol,), {"fast_path_of": staticmethod(fast_path_of)})
