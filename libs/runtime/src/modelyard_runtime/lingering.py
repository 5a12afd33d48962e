"""Close a connection whose caller is still sending, so that the answer arrives.

Closing a socket with unread bytes resets the connection, and the caller may lose the answer that explains why. So the
answer and the end of the stream are sent first, and what still arrives is read and dropped for a while.
"""

import asyncio
from typing import Any, Final

LINGER_S: Final = 10.0
"""Longest time that unread bytes are dropped before the connection is closed."""


class Lingering(asyncio.Protocol):
    """Takes the place of a connection's protocol once its last answer is sent."""

    def __init__(self, before: Any, transport: Any, timer: asyncio.TimerHandle) -> None:
        self._before, self._transport, self._timer = before, transport, timer

    def data_received(self, data: bytes) -> None:
        """Drop it."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()


def close_gently(protocol: Any, linger_s: float = LINGER_S) -> None:
    """End the stream to the caller and drop its bytes; the connection closes when it ends, or after `linger_s`.

    protocol: uvicorn's, with `transport`, `loop` and `flow`.
    """
    transport = protocol.transport
    if transport.is_closing():
        return
    if not transport.can_write_eof():  # TLS
        transport.close()
        return
    transport.write_eof()
    timer = protocol.loop.call_later(linger_s, transport.close)
    transport.set_protocol(Lingering(protocol, transport, timer))
    protocol.flow.resume_reading()


class GentleTransport:
    """The transport of one request: `close` waits for the rest of the request. All else is the connection's own."""

    def __init__(self, protocol: Any, cycle: Any) -> None:
        self._protocol, self._cycle, self._transport = protocol, cycle, protocol.transport
        self.write = self._transport.write

    def close(self) -> None:
        if self._cycle.more_body and self._cycle.response_complete:
            close_gently(self._protocol)
        else:
            self._transport.close()

    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())
