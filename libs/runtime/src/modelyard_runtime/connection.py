"""uvicorn's HTTP protocol with limits on the head of a request, and with upgrade requests ignored.

Otherwise a caller without a key could hold connections with half a head, fill the memory with an endless one, and have
a body read as the next request by requesting an upgrade (`Upgrade: h2c`, as Java's client does).
"""

import json
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from modelyard_runtime.lingering import LINGER_S, GentleTransport, close_gently

HEAD_TIMEOUT_S: Final = 15.0
"""Time from the connection, or the first byte of a request, to the end of its head."""
MAX_HEAD_BYTES: Final = 64 << 10
"""Limit of a head that arrives in several pieces; the first piece is bounded by the read buffer."""
_UPGRADES: Final = frozenset({b"upgrade", b"http2-settings"})
_CODES: Final = {400: "bad_request", 408: "request_timeout", 431: "request_header_fields_too_large"}


class GuardedProtocol(HttpToolsProtocol):
    """One connection. HTTP/1.1 only: no WebSocket, no HTTP/2."""

    head_timeout_s = HEAD_TIMEOUT_S

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._in_head = True
        """Whether a head is expected or partly read; uvicorn watches idle connections between requests."""
        self._heads = 0
        """Number of heads that have started."""
        self._head_bytes = 0
        self._head_since = 0.0
        self._head_timer: Any = None
        self._upgrading = False
        self._in_body = False
        """The head of a request is read, its body is not complete."""

    # input

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        head = self._heads if self._in_head else -1
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("not a request of HTTP/1.1")
            return
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])
            return
        if self._in_head and head == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head has more than {MAX_HEAD_BYTES} bytes; send fewer or shorter headers")

    def _without_upgrade(self, rest: bytes) -> None:
        """Parse the head again without its upgrade headers, so that the body is read as a body.

        The parser treats all bytes after the head of an upgrade as another protocol's.
        """
        kept = b"".join([b"%b: %b\r\n" % header for header in self.headers if header[0] not in _UPGRADES])
        version = self.parser.get_http_version().encode()
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, kept)
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        GuardedProtocol.data_received(self, head + rest)

    # callbacks of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._heads += 1
        self._head_bytes = 0
        if self._head_timer is None:
            self._watch_head()
        else:
            self._head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("CONNECT is not supported")  # answered 400
            self._upgrading = True
            return
        self._in_body = True
        super().on_headers_complete()
        self.cycle.transport = GentleTransport(self, self.cycle)  # type: ignore[assignment]  # all that a cycle uses

    def on_message_complete(self) -> None:
        if not self._upgrading:
            self._in_body = False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self.loop.call_later(LINGER_S, self._end_unread, self.cycle)

    def _end_unread(self, cycle: Any) -> None:
        """Close a connection that is still sending the body of a request that was answered long ago."""
        if self._in_body and self.cycle is cycle and cycle.response_complete:
            self.transport.close()

    # time limit of a head

    def _watch_head(self) -> None:
        self._head_since = self.loop.time()
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._check_head)

    def _check_head(self) -> None:
        """One timer serves many requests: it is not moved for each, but checks when it fires."""
        self._head_timer = None
        if not self.head_is_awaited() or self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        left_s = self._head_since + self.head_timeout_s - self.loop.time()
        if answering or self.flow.read_paused or left_s > 0.01:
            self._head_timer = self.loop.call_later(max(left_s, 1.0), self._check_head)
        elif self._heads:
            self._refuse(408, f"the head did not arrive within {self.head_timeout_s:g} s")
        else:
            self.transport.close()

    def head_is_awaited(self) -> bool:
        return self._in_head

    # refusals

    def send_400_response(self, msg: str) -> None:
        """Also called by uvicorn."""
        self._refuse(400, msg)

    def _refuse(self, status: int, detail: str) -> None:
        code = _CODES[status]
        title = STATUS_LINE[status][13:-2].decode()
        problem = {"type": f"urn:modelyard:problem:{code}", "title": title, "status": status, "detail": detail}
        body = json.dumps({**problem, "code": code}).encode()
        head = b"%bcontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (STATUS_LINE[status], len(body)) + body)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # its answer can no longer be sent
            self.cycle.message_event.set()
        close_gently(self)
