"""Request heads, parsed once: a caller sends the same bytes before every body."""

from dataclasses import dataclass
from typing import Any, Final

import httptools

from modelyard_router.domain.tables import Header

MAX_HEADS: Final = 1_024
MAX_HEAD_BYTES: Final = 4_096
PREDICT: Final = b"/v1/predict/"
_NOT_SIMPLE: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection", b"content-encoding"})


@dataclass(slots=True, frozen=True)
class Head:
    """What a prediction's head says."""

    path: str
    headers: list[Header]
    authorization: bytes
    length: int
    plain: bool
    """Whether no header needs more than this: no trace, no deadline of the caller's."""


class Heads:
    """Head bytes to Head; None for what is not a simple prediction. Bounded, for one event loop."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def get(self, raw: bytes) -> Head | None:
        """raw: from the method to the last header, without the empty line."""
        return self._known.get(raw) or self._read(raw)

    def _read(self, raw: bytes) -> Head | None:
        if not raw.startswith(b"POST " + PREDICT) or len(raw) > MAX_HEAD_BYTES:
            return None
        head = _Reading().read(raw)
        if head is not None and head.plain:
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            self._known[raw] = head
        return head


class _Reading:
    """httptools' callbacks, for one head: the same parser decides here as on the ordinary way."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[Header] = []
        self.simple = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.simple = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()

    def read(self, raw: bytes) -> Head | None:
        self.parser: Any = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(raw + b"\r\n\r\n")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        fields = dict(self.headers)
        length = fields.get(b"content-length", b"")
        if not self.simple or not length.isdigit() or len(fields) != len(self.headers) or fields.keys() & _NOT_SIMPLE:
            return None
        if any(special in self.url for special in (b"?", b"%", b"#")) or not self.url.isascii():
            return None
        plain = not fields.keys() & {b"traceparent", b"x-modelyard-timeout-ms"}
        return Head(self.url.decode(), self.headers, fields.get(b"authorization", b""), int(length), plain)
