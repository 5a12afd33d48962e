"""Reading a request within limits: head, deadline, body."""

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from modelyard_contracts.keyring import KeyRingFile
from modelyard_serving.errors import BadRequest, BodyTooSlow, TooLarge, Unauthorized, UnsupportedEncoding

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
    """Upper bound, and default, of the caller's deadline."""
    read_timeout_ms: int = 10_000
    """For the whole body."""


class Tokens:
    """Tokens that callers may send: a fixed one, and those of a key ring, which is read again when its file changes.

    token: the fixed one; empty accepts the key ring only.
    """

    def __init__(self, token: str = "", ring: KeyRingFile | None = None) -> None:
        self._fixed = b"Bearer " + token.encode() if token else None
        self._ring = ring

    def accept(self, authorization: bytes) -> bool:
        """Whether an Authorization header holds one of the tokens."""
        if self._fixed is not None and hmac.compare_digest(authorization, self._fixed):
            return True
        scheme, _, token = authorization.partition(b" ")
        return self._ring is not None and scheme == b"Bearer" and self._ring.ring.accepts(token.decode("latin-1"))


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

    def authorize(self, tokens: "Tokens") -> None:
        """Raise Unauthorized unless the Authorization header holds an accepted token."""
        if not tokens.accept(self.header(b"authorization") or b""):
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
        return min(timeout_ms, limits.timeout_ms) / 1000

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
