"""`/v1/timelines` as a list, and single events."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query

from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_monitor.api.moments import Since
from modelyard_monitor.domain.alert_list import EventRecord
from modelyard_monitor.domain.timelines import TimelineList, TimelineScope
from modelyard_monitor.usecases.timelines import Timelines
from modelyard_runtime.access import Principal
from modelyard_runtime.clock import Clock
from modelyard_runtime.http.access import allow, allowed_workspaces, visible
from modelyard_runtime.http.moments import read_moment

Reader = Annotated[Principal, Depends(allow("read", "drift", over="any-workspace"))]


def add_timelines(app: FastAPI, timelines: Timelines, clock: Clock) -> None:
    """Add the list of timelines and the event by its id."""
    router = APIRouter(prefix="/v1", tags=["overview"])

    @router.get("/timelines")
    async def newest(
        caller: Reader,
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN, description="Only this model.")] = None,
        since: Since = None,
        started: Annotated[
            bool, Query(description="Only those with a run that began, an evaluation or a rollout.")
        ] = False,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        after: Annotated[str, Query(max_length=128, description="`next_after` of the page before.")] = "",
    ) -> TimelineList:
        """Return timelines (all events of one correlation id, summarised), the newest first."""
        start = read_moment(since, "since")
        scope = TimelineScope(model or "", start, started, workspaces=allowed_workspaces(caller, "read", "drift"))
        return await asyncio.to_thread(timelines.page, scope, after, limit)

    @router.get("/events/{event_id}")
    async def event(event_id: UUID, caller: Reader) -> EventRecord:
        """Return one control event; a drift or an alert also as it is listed in `/v1/alerts`.

        The values of features in `unseen` need the right to read predictions.
        """
        readable, values_readable = visible(caller, "read", "drift"), visible(caller, "read", "prediction")
        return await asyncio.to_thread(timelines.event, str(event_id), readable, values_readable)

    app.include_router(router)
