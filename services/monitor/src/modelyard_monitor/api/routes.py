"""HTTP routes of the monitor; each calls one use case."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Path, Query

from modelyard_monitor.api.models import (
    DriftEvents,
    IngestState,
    Members,
    MembersOverTime,
    ModelHealth,
    ModelStability,
    PerformanceAlarms,
    Timeline,
    UnwatchedVersions,
)
from modelyard_monitor.api.moments import read_since
from modelyard_monitor.domain.ports import Consumer
from modelyard_monitor.domain.reports import UnwatchedVersion, VotePage
from modelyard_monitor.domain.traffic import bucket_length_s
from modelyard_monitor.domain.votes import MAX_CURSOR_CHARS
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.usecases.alarms import Alarms
from modelyard_monitor.usecases.reports import Reports
from modelyard_monitor.usecases.votes import Votes
from modelyard_runtime.access import Principal
from modelyard_runtime.changes import ChangeSource
from modelyard_runtime.clock import system_clock
from modelyard_runtime.http.access import allow, visible
from modelyard_runtime.http.changes import add_change_feed

DAY_S: Final = 86_400
MAX_VERSION: Final = 2**31 - 1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Model = Annotated[str, Path(max_length=256, description="Reference of the model: `name` or `workspace:name`.")]
Reader = Annotated[Principal, Depends(allow("read", "drift", over="any-workspace"))]


def add_routes(
    app: FastAPI,
    reports: Reports,
    votes: Votes,
    alarms: Alarms,
    unwatched: Unwatched,
    consumers: Sequence[Consumer],
    changes: ChangeSource,
) -> None:
    """Add all routes; each declares the action that it needs.

    changes: drift and alert events as this process stores them.
    """
    app.include_router(_models(reports))
    app.include_router(_votes(votes))
    app.include_router(_alarms(alarms))
    app.include_router(_overviews(reports, unwatched, consumers))
    add_change_feed(app, changes, "drift", {"drift": reports.event, "alert": reports.event})


def _models(reports: Reports) -> APIRouter:
    router = APIRouter(prefix="/v1/models/{model}", tags=["models"])

    @router.get("/health", dependencies=[Depends(allow("read", "model"))])
    async def health(
        model: Model,
        since: Annotated[str | None, Query(max_length=64, description="Only predictions since this moment.")] = None,
        route: Annotated[str, Query(max_length=256, description="Only predictions of this route.")] = "",
    ) -> ModelHealth:
        """Return requests, latencies and labels per version and variant."""
        versions = await asyncio.to_thread(reports.health, model, read_since(since, EPOCH), route)
        return ModelHealth(model=model, versions=tuple(versions))

    @router.get("/drift", dependencies=[Depends(allow("read", "drift"))])
    async def drift(model: Model, limit: Annotated[int, Query(ge=1, le=1_000)] = 50) -> DriftEvents:
        """Return the newest drift events of a model, newest first."""
        return DriftEvents(items=tuple(await asyncio.to_thread(reports.drift, model, limit)))

    @router.get("/psi", dependencies=[Depends(allow("read", "drift"))])
    async def psi(model: Model, window_s: Annotated[float, Query(ge=60, le=90 * DAY_S)] = 3_600) -> ModelStability:
        """Return the PSI of each feature and output against the training data, over the last `window_s` seconds."""
        return ModelStability(items=tuple(await asyncio.to_thread(reports.stability, model, int(window_s))))

    return router


def _votes(votes: Votes) -> APIRouter:
    router = APIRouter(prefix="/v1/models/{model}", tags=["models"])

    @router.get("/votes", dependencies=[Depends(allow("read", "model"))])
    async def page(
        model: Model,
        after: Annotated[
            str, Query(max_length=MAX_CURSOR_CHARS, description="Cursor of the page before; empty for that of now.")
        ] = "",
        limit: Annotated[int, Query(ge=1, le=20_000, description="Labels per partition of the topic.")] = 5_000,
    ) -> VotePage:
        """Return what the members of votes lost on labelled predictions; each label is in one page."""
        return await asyncio.to_thread(votes.page, model, after, limit)

    @router.get("/members", dependencies=[Depends(allow("read", "model"))])
    async def members(
        model: Model,
        since: Annotated[str | None, Query(max_length=64, description="Only calls since this moment.")] = None,
    ) -> Members:
        """Return calls, failures and latencies per version, on all routes and in all votes."""
        found = await asyncio.to_thread(votes.calls, model, read_since(since, EPOCH))
        return Members(model=model, members=tuple(found))

    @router.get("/members/over-time", dependencies=[Depends(allow("read", "model"))])
    async def members_over_time(
        model: Model,
        since: Annotated[str | None, Query(max_length=64, description="Only predictions since this moment.")] = None,
        bucket_s: Annotated[int, Query(ge=60, le=30 * DAY_S, description="Length of an interval.")] = 3_600,
    ) -> MembersOverTime:
        """Return what each member of a vote would have answered alone, by interval (default: hours of the last day)."""
        now = system_clock()
        start = read_since(since, now - timedelta(days=1))
        length_s = bucket_length_s(start, now, bucket_s)
        items = await asyncio.to_thread(votes.quality, model, start, length_s)
        return MembersOverTime(model=model, bucket_s=length_s, items=tuple(items))

    return router


def _alarms(alarms: Alarms) -> APIRouter:
    router = APIRouter(prefix="/v1/models/{model}", tags=["models"])

    @router.get("/alarms", dependencies=[Depends(allow("read", "drift"))])
    async def performance_alarms(
        model: Model,
        version: Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="Only alarms of this version.")] = None,
        state: Annotated[
            Literal["open", "all"], Query(description="`all` adds alarms that are recovered, replaced or expired.")
        ] = "open",
    ) -> PerformanceAlarms:
        """Return the performance alarms of a model, with the moment of the change as its labelled rows show it."""
        found = await asyncio.to_thread(alarms.of, model, version, closed=state == "all")
        return PerformanceAlarms(items=tuple(found))

    return router


def _overviews(reports: Reports, unwatched: Unwatched, consumers: Sequence[Consumer]) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["overview"])

    @router.get("/timelines/{correlation_id}")
    async def timeline(correlation_id: UUID, reader: Reader) -> Timeline:
        """Return all events of one correlation id in order, of models in workspaces that the caller may read."""
        readable = visible(reader, "read", "drift")
        events = await asyncio.to_thread(reports.timeline, str(correlation_id))
        return Timeline(correlation_id=correlation_id, events=tuple(one for one in events if readable(one.model)))

    @router.get("/unwatched")
    async def unwatched_versions(reader: Reader) -> UnwatchedVersions:
        """Return the versions whose rows this process stores without counting them, and why."""
        readable = visible(reader, "read", "drift")
        items = [
            UnwatchedVersion(model=model, version=version, digest=digest, reason=reason)
            for (model, version, digest), reason in sorted(unwatched.reasons().items())
            if readable(model)
        ]
        return UnwatchedVersions(items=tuple(items))

    @router.get("/ingest", dependencies=[Depends(allow("read", "service", over="all-workspaces"))])
    async def ingest() -> IngestState:
        """Return stored rows per partition, and the lag of each partition that this process reads."""
        states = await asyncio.gather(*(consumer.state() for consumer in consumers))
        return IngestState(stored=tuple(await asyncio.to_thread(reports.stored)), consumers=tuple(states))

    return router
