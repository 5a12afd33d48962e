"""The body of a request, within its limits."""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

BODY_PAUSE_S: Final = 30.0
"""How long a caller may send nothing in the middle of a body."""


class Limits:
    """Bytes that a body may have, by path.

    large: {path prefix: bytes} of what may be larger than usual.
    """

    def __init__(self, usual: int, large: dict[str, int]) -> None:
        self._usual, self._large = usual, large

    def of(self, path: str) -> int:
        return max((size for prefix, size in self._large.items() if path.startswith(prefix)), default=self._usual)


class TooLarge(HTTPException):
    """Of this base, as FastAPI hides any other error that happens while it reads the body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body may hold {limit} bytes")


class TooSlow(HTTPException):
    """The rest of the body will not be waited for, so the connection ends with the answer."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(408, f"nothing of the body came for {pause_s:g} s", {"Connection": "close"})


def counted_body(receive: Receive, limit: int, pause_s: float) -> Receive:
    """The body, which may not grow past `limit` whatever its header said, nor pause for longer than `pause_s`."""
    seen, more = 0, True

    async def counted() -> Message:
        nonlocal seen, more
        if not more:  # whoever asks again waits for the caller to go away
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
