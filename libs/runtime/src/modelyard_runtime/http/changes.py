"""`GET /v1/changes`: server-sent events, one for each change of a resource."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from modelyard_runtime.access import Principal
from modelyard_runtime.changes import Change, ChangeSource, latest_of_each
from modelyard_runtime.errors import Unavailable
from modelyard_runtime.http.access import allow, visible
from modelyard_runtime.wakeup import Wakeup

Render = Callable[[str], BaseModel | None]
"""Subject (an id) to the response model that the resource's own endpoint returns; None when it no longer exists."""

PAGE: Final = 100
POLL_S: Final = 1.0
"""How late a change of another process is seen, and how late a follower notices that the service stops."""
MAX_FOLLOWERS: Final = 100


def add_change_feed(
    app: FastAPI,
    source: ChangeSource,
    kind: str,
    render: Mapping[str, Render],
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add `GET /v1/changes`; a caller sees changes of models in workspaces where it may read `kind`.

    kinds: type of change to the kind that a caller must be allowed to read, where that is not `kind`.
    render: by type of change. It runs in a thread. Each follower holds one page in memory; the rest stays in the
    source until the follower has read the page.
    """
    feed = _Feed(source, render)

    @app.get("/v1/changes", response_class=EventSourceResponse, tags=["changes"])
    async def changes(
        request: Request,
        principal: Annotated[Principal, Depends(allow("read", kind, over="any-workspace"))],
        wakeup: Annotated[Wakeup, Depends(feed.admit)],
        model: Annotated[str | None, Query(max_length=256, description="Only changes of this model.")] = None,
        last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """Follow changes as server-sent events.

        `event` is the type of the resource, `data` the same JSON as its own endpoint returns, `id` the position to
        resume after with `Last-Event-ID`. `event: reset` means that the position is no longer known: read the
        resources again, then follow from the id of that event. A comment every 15 s keeps the connection open.
        """
        readable = {type_: visible(principal, "read", kinds.get(type_, kind)) for type_ in render}
        readiness = request.app.state.readiness
        followed = feed.follow(
            wakeup,
            last_event_id,
            lambda change: readable[change.type](change.model) and model in (None, change.model),
            lambda: readiness.stopping,
        )
        async for event in followed:
            yield event


class _Feed:
    def __init__(self, source: ChangeSource, render: Mapping[str, Render]) -> None:
        self._source, self._render = source, render
        self._followers = 0

    async def admit(self) -> AsyncIterator[Wakeup]:
        """Yield what wakes one follower; Unavailable when too many follow. Lasts as long as the request."""
        if self._followers >= MAX_FOLLOWERS:
            raise Unavailable(f"{MAX_FOLLOWERS} connections follow changes already; try again later")
        wakeup = Wakeup()
        unsubscribe = self._source.subscribe(wakeup.notify)
        self._followers += 1
        try:
            yield wakeup
        finally:
            self._followers -= 1
            unsubscribe()

    async def follow(
        self, wakeup: Wakeup, cursor: str | None, wanted: Callable[[Change], bool], stopping: Callable[[], bool]
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield events after `cursor`, or from now on, until the service stops."""
        never = asyncio.Event()
        if cursor is None:
            cursor = await asyncio.to_thread(self._source.newest)
            yield ServerSentEvent(id=cursor)
        while not stopping():
            changes = await asyncio.to_thread(self._source.after, cursor, PAGE)
            if changes is None:
                cursor = await asyncio.to_thread(self._source.newest)
                yield ServerSentEvent(event="reset", id=cursor, data={})
                continue
            for change in latest_of_each(changes):
                if wanted(change) and (body := await self._rendered(change)) is not None:
                    yield ServerSentEvent(event=change.type, id=change.cursor, data=body)
            if changes:
                cursor = changes[-1].cursor
            if len(changes) < PAGE:
                await wakeup.pause(never, POLL_S)

    async def _rendered(self, change: Change) -> BaseModel | None:
        return await asyncio.to_thread(self._render[change.type], change.subject)
