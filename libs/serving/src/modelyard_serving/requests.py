"""Reading a request within limits: head, deadline, body."""

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from modelyard_serving.errors import BadRequest, BodyTooSlow, TooLarge, Unauthorized, UnsupportedEncoding
from modelyard_serving.tokens import Tokens

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DEADLINE_HEADER: Final = b"x-modelyard-timeout-ms"
"""How long the caller still waits; no work starts after that."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one server."""

    max_body_bytes: int = 16 << 20
    max_rows: int = 10_000
    """In one request."""
    max_batch_rows: int = 4_096
    max_waiting_rows: int = 50_000
    max_waiting_generations: int = 64
    timeout_ms: int = 30_000
    """Deadline of a caller that states none."""
    max_timeout_ms: int = 3_600_000
    """Upper bound of a stated deadline, that of routes: a long text takes minutes."""
    read_timeout_ms: int = 10_000
    """For the whole body."""


class Head:
    """The head of a request."""

    def __init__(self, scope: Scope) -> None:
        self.path: str = scope["path"].rstrip("/")
        self.method: str = scope["method"]
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])

    def header(self, name: bytes) -> bytes | None:
        """The header's value, None without one; BadRequest if it is repeated."""
        values = [value for key, value in self._headers if key == name]
        if len(values) > 1:
            raise BadRequest(f"{name.decode()}: sent {len(values)} times; send it once")
        return values[0] if values else None

    def authorize(self, tokens: Tokens) -> None:
        """Raise Unauthorized unless the Authorization header holds an accepted bearer token."""
        scheme, _, token = (self.header(b"authorization") or b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not tokens.accepts(token):
            raise Unauthorized("send Authorization: Bearer with the serving token of this installation")

    def timeout_s(self, limits: Limits) -> float:
        """The caller's deadline from now, at most the server's."""
        value = self.header(DEADLINE_HEADER)
        if value is None:
            return limits.timeout_ms / 1000
        try:
            timeout_ms = float(value)
        except ValueError:
            timeout_ms = math.nan
        if not 0 < timeout_ms < math.inf:
            raise BadRequest(f"{DEADLINE_HEADER.decode()}: not a positive number of milliseconds")
        return min(timeout_ms, limits.max_timeout_ms) / 1000

    async def body(self, receive: Receive, limits: Limits) -> bytes:
        """The whole body; raises TooLarge, BodyTooSlow or UnsupportedEncoding."""
        encoding = self.header(b"content-encoding")
        if encoding not in (None, b"identity"):
            shown = encoding.decode("latin-1")[:40]
            raise UnsupportedEncoding(f"content-encoding {shown} is not supported; send the body uncompressed")
        if int(self.header(b"content-length") or b"0") > limits.max_body_bytes:
            raise _too_large(limits)
        try:
            async with asyncio.timeout(limits.read_timeout_ms / 1000):
                return await _read(receive, limits)
        except TimeoutError as error:
            raise BodyTooSlow(f"the body did not arrive within {limits.read_timeout_ms} ms") from error


async def _read(receive: Receive, limits: Limits) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the caller closed the connection within the body")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limits.max_body_bytes:
            raise _too_large(limits)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the body has more than {limits.max_body_bytes} bytes; send fewer rows")
