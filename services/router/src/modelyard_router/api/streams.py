"""Generated answers over ASGI: whole, or as server-sent events."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from modelyard_contracts.messages.serving import GenerationStatus
from modelyard_router.api.bodies import Receive
from modelyard_router.api.problems import JSON
from modelyard_router.domain.errors import UpstreamFailed, UpstreamTimeout
from modelyard_router.domain.requests import Reply
from modelyard_router.usecases.generation import Generation
from modelyard_router.usecases.predictions import Failed

T = TypeVar("T")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HEADERS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


@dataclass(frozen=True)
class Streamed:
    """A reply that is sent in pieces."""

    generation: Generation
    total_s: float


async def whole_reply(generation: Generation, total_s: float, receive: Receive) -> Reply | Streamed:
    """The reply to a request whose answer has started; Failed when a whole answer breaks off or its caller leaves."""
    if generation.prepared.request.stream:
        return Streamed(generation, total_s)
    try:
        async with asyncio.timeout(total_s):
            body = await _unless_closed(generation.whole(), receive)
        if body is not None:
            return 200, [*generation.headers, JSON], msgspec.json.encode(body)
    except _CallerLeft as left:
        raise Failed(UpstreamFailed("the caller closed the connection"), generation.headers) from left
    except TimeoutError as error:
        await generation.end(GenerationStatus.TIMEOUT)
        raise Failed(UpstreamTimeout(f"no end of the answer within {total_s:g} s"), generation.headers) from error
    finally:
        await generation.end()
    late = UpstreamTimeout("the answer stalled") if generation.timed_out else UpstreamFailed("the answer broke off")
    raise Failed(late, generation.headers)


async def send_stream(reply: Streamed, receive: Receive, send: Send) -> None:
    """Send events until the answer ends, breaks off, or the caller closes the connection; then it is logged."""
    generation = reply.generation
    closed = asyncio.ensure_future(_closed(receive))
    sending = asyncio.ensure_future(_send_events(reply, send))
    try:
        await asyncio.wait({closed, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (closed, sending):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.gather(closed, sending, return_exceptions=True)
        await generation.end(GenerationStatus.CLIENT_CLOSED)


async def _send_events(reply: Streamed, send: Send) -> None:
    generation = reply.generation
    headers = [*generation.headers, *HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async with asyncio.timeout(reply.total_s):
            async for event in generation.events():
                await send({"type": "http.response.body", "body": event, "more_body": True})
    except TimeoutError:
        await generation.end(GenerationStatus.TIMEOUT)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _closed(receive: Receive) -> None:
    """Return when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _CallerLeft(Exception):
    """The caller closed the connection before its answer was complete."""


async def _unless_closed(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """The result of `work`; it is cancelled, and _CallerLeft raised, when the caller closes the connection."""
    working = asyncio.ensure_future(work)
    closed = asyncio.ensure_future(_closed(receive))
    try:
        await asyncio.wait({working, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done() and closed.exception() is None:
            raise _CallerLeft
        return await working
    finally:
        for task in (working, closed):
            task.cancel()
        await asyncio.gather(working, closed, return_exceptions=True)
