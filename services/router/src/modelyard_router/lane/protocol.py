"""uvicorn's protocol with the short way in front of it; whatever that does not take is uvicorn's as before."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from modelyard_router.domain.tables import Header
from modelyard_router.lane.lane import Lane, raw_head
from modelyard_router.usecases import Reply
from modelyard_runtime.connection import GuardedProtocol


class LaneProtocol(GuardedProtocol):
    """One caller's connection. Made by a class that knows its lane, see `protocol_of`."""

    lane: Callable[[], Lane | None]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._lane = type(self).lane()
        self._riding = False
        """A request is on the short way: its answer comes first."""
        self._reading = False
        """uvicorn's parser is in the middle of a request."""
        self._behind: list[bytes] = []
        """What came while a request was on the short way."""
        self._last = 0.0
        self._leaving = False

    # what comes in

    def data_received(self, data: bytes) -> None:
        if self._riding:
            self._behind.append(data)
            self.flow.pause_reading()
            return
        free = not self._reading and (self.cycle is None or self.cycle.response_complete)
        if free and self._lane is not None and not self._leaving:
            self._riding = True  # before: a replica may answer while it is asked
            if self._lane.take(self, data):
                return
            self._riding = False
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._reading = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._reading = False
        super().on_message_complete()

    # what goes out

    def respond(self, head: bytes, body: bytes) -> None:
        """The end of a request on the short way."""
        self._riding = False
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        date = _usual(self.server_state.default_headers)
        if self._leaving:
            self.transport.write(b"%b%bconnection: close\r\n\r\n%b" % (head, date, body))
            self.transport.close()
            return
        self.transport.write(b"%b%b\r\n%b" % (head, date, body))
        self._last = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch(self.timeout_keep_alive)
        if self._behind:
            self._go_on()

    def respond_later(self, reply: Coroutine[Any, Any, Reply]) -> None:
        task = self.loop.create_task(self._respond_with(reply))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _respond_with(self, reply: Coroutine[Any, Any, Reply]) -> None:
        status, headers, body = await reply
        self.respond(raw_head(STATUS_LINE[status], [*headers, (b"content-length", b"%d" % len(body))]), body)

    def _go_on(self) -> None:
        data = b"".join(self._behind)
        self._behind = []
        self.flow.resume_reading()
        self.data_received(data)

    # the life of the connection

    def timeout_keep_alive_handler(self) -> None:
        """One timer for many requests: it is not moved with each, but looks when it comes up how long nothing came."""
        self.timeout_keep_alive_task = None
        idle_s = self.loop.time() - self._last
        if self._riding or idle_s < self.timeout_keep_alive - 0.01:
            self._watch(self.timeout_keep_alive if self._riding else self.timeout_keep_alive - idle_s)
        else:
            super().timeout_keep_alive_handler()

    def head_is_awaited(self) -> bool:
        """Heads of the short way are whole when they are seen: the parser never hears of them."""
        return super().head_is_awaited() and not self._riding and bool(self._reading or not self._last)

    def _watch(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """Asked by uvicorn when the service stops: answer what is under way, then close."""
        if self._riding:
            self._leaving = True
        else:
            super().shutdown()


_usual_last: tuple[object, bytes] = (None, b"")


def _usual(headers: list[Header]) -> bytes:
    """uvicorn's own headers, the date: a new list every second."""
    global _usual_last
    if _usual_last[0] is not headers:
        _usual_last = headers, raw_head(b"", headers)
    return _usual_last[1]


def protocol_of(lane: Callable[[], Lane | None]) -> type[asyncio.Protocol]:
    """For uvicorn, which makes one per connection; `lane` is asked then, as it is made after the server."""
    return type("RouterProtocol", (LaneProtocol,), {"lane": staticmethod(lane)})
