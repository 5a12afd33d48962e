"""Headers and bodies of ASGI requests, within limits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from modelyard_router.domain.errors import BodyTooSlow, BrokenContract, TooLarge, TwoKeys, UnsupportedEncoding
from modelyard_router.domain.leaves import Header
from modelyard_router.domain.requests import Call

MAX_SESSION_CHARACTERS: Final = 200
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read_body(receive: Receive, length: int, limit: int, timeout_s: float) -> bytes:
    """The whole body. length: declared bytes, 0 if unknown. TooLarge, or BodyTooSlow after `timeout_s`."""
    if length > limit:
        raise TooLarge(f"the body has {length} bytes; the limit is {limit}")
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
            if message.get("more_body"):
                return await _rest(message, receive, limit)
    except TimeoutError as error:
        raise BodyTooSlow(f"the body did not arrive within {timeout_s:g} s") from error
    body: bytes = message.get("body", b"")
    if len(body) > limit:  # of undeclared length, but in one piece
        raise TooLarge(f"the body has {len(body)} bytes; the limit is {limit}")
    return body


async def _rest(message: MutableMapping[str, Any], receive: Receive, limit: int) -> bytes:
    """A body in several parts of unknown total length."""
    chunks, size = [message.get("body", b"")], len(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyTooSlow("the caller closed the connection in the middle of the body")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes")
    return b"".join(chunks)


def read_headers(headers: Iterable[Header], call: Call) -> tuple[bytes, int]:
    """(authorization, content length or 0); stores trace, deadline and session in `call`."""
    authorization, length = b"", 0
    call.headers = headers
    for name, value in headers:
        if name == b"authorization":
            if authorization:
                raise TwoKeys("two Authorization headers; send one")
            authorization = value
        elif name == b"content-length":
            length = int(value)
        elif name == b"traceparent":
            call.trace = value if len(value) == 55 else b""
        elif name == b"x-modelyard-timeout-ms":
            call.timeout_s = _timeout_s(value)
        elif name == b"x-modelyard-session-id":
            call.session = value.decode("latin-1")[:MAX_SESSION_CHARACTERS] or None
        elif name == b"content-encoding" and value.lower() != b"identity":
            encoding = value[:40].decode("latin-1")
            raise UnsupportedEncoding(f"content-encoding {encoding!r} is not supported; send the body uncompressed")
    return authorization, length


def _timeout_s(value: bytes) -> float:
    try:
        timeout_ms = float(value)
    except ValueError:
        timeout_ms = 0.0
    if not 0 < timeout_ms < 1e9:
        raise BrokenContract(
            "x-modelyard-timeout-ms: not a positive number of milliseconds", field="x-modelyard-timeout-ms"
        )
    return timeout_ms / 1000
