"""The body of a request, within its limits."""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from modelyard_contracts.sentences import plain

BODY_PAUSE_S: Final = 30.0
"""Longest pause in the middle of a body."""


class Limits:
    """Largest body in bytes, by path.

    large: {path prefix: bytes} of paths with another limit.
    """

    def __init__(self, usual: int, large: dict[str, int]) -> None:
        self._usual, self._large = usual, large

    def of(self, path: str) -> int:
        return max((size for prefix, size in self._large.items() if path.startswith(prefix)), default=self._usual)


class TooLarge(HTTPException):
    """The body exceeds the limit. An HTTPException, as FastAPI hides other errors while it reads a body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body may have {limit} bytes at most")


class Encoded(HTTPException):
    """The body has a content encoding; it would be read as it is, and misunderstood."""

    def __init__(self, encoding: str) -> None:
        super().__init__(415, f"content-encoding {plain(encoding)} is not supported; send the body uncompressed")


def require_plain(encoding: str | None) -> None:
    """Raise Encoded unless the body of a request is sent as it is. encoding: the header Content-Encoding."""
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise Encoded(encoding)


class TooSlow(HTTPException):
    """The body stopped arriving; the connection is closed with the response."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(408, f"no part of the body arrived for {pause_s:g} s", {"Connection": "close"})


def counted_body(receive: Receive, limit: int, pause_s: float) -> Receive:
    """Receive a body: at most `limit` bytes, whatever its header states, and no pause longer than `pause_s`."""
    seen, more = 0, True

    async def counted() -> Message:
        nonlocal seen, more
        if not more:  # a second read waits until the caller disconnects
            return await receive()
        try:
            async with asyncio.timeout(pause_s):
                message = await receive()
        except TimeoutError as error:
            raise TooSlow(pause_s) from error
        more = message.get("more_body", False)
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge(limit)
        return message

    return counted
