"""Request heads, parsed once: a client sends the same bytes before every body."""

from dataclasses import dataclass
from typing import Any, Final

import httptools

from modelyard_router.clients.keys import fingerprint
from modelyard_router.domain.leaves import Header

MAX_HEADS: Final = 1_024
MAX_HEAD_BYTES: Final = 4_096
PREDICT: Final = b"/v1/predict/"
_NOT_SIMPLE: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection", b"content-encoding"})
_PER_REQUEST: Final = frozenset({b"traceparent", b"x-modelyard-timeout-ms", b"x-modelyard-session-id"})


@dataclass(slots=True, frozen=True)
class Head:
    """The parsed head of a prediction request."""

    path: str
    headers: list[Header]
    key: bytes
    """Fingerprint of the Authorization header."""
    length: int
    plain: bool
    """Whether the head carries neither trace, deadline nor session."""


class Heads:
    """Cache of parsed heads; None for anything but a simple prediction. Bounded, for one event loop.

    It is keyed by a fingerprint of the head, as a head contains a key.
    """

    def __init__(self) -> None:
        self._cached: dict[bytes, Head] = {}

    def __len__(self) -> int:
        return len(self._cached)

    def get(self, raw: bytes) -> Head | None:
        """raw: from the method to the last header, without the empty line."""
        key = fingerprint(raw)
        return self._cached.get(key) or self._parse(raw, key)

    def _parse(self, raw: bytes, key: bytes) -> Head | None:
        if not raw.startswith(b"POST " + PREDICT) or len(raw) > MAX_HEAD_BYTES:
            return None
        head = _HeadParser().parse(raw)
        if head is not None and head.plain:
            if len(self._cached) >= MAX_HEADS:
                self._cached.clear()
            self._cached[key] = head
        return head


class _HeadParser:
    """Callbacks of httptools for one head: the parser of the ordinary path decides here too."""

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

    def parse(self, raw: bytes) -> Head | None:
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
        plain = not fields.keys() & _PER_REQUEST
        key = fingerprint(fields.get(b"authorization", b""))
        headers = [header for header in self.headers if header[0] != b"authorization"]
        return Head(self.url.decode(), headers, key, int(length), plain)
