"""HTTP routes of the monitor; each calls one use case."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import FastAPI, Query

from modelyard_monitor.api.models import DriftEvents, IngestState, ModelHealth, ModelStability, Timeline
from modelyard_monitor.domain.ports import Consumer
from modelyard_monitor.usecases.reports import Reports
from modelyard_runtime.errors import Invalid

DAY_S: Final = 86_400
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def add_routes(app: FastAPI, reports: Reports, consumers: Sequence[Consumer]) -> None:
    """Add all routes; each needs a token with `read`."""

    @app.get("/v1/models/{model}/health")
    async def health(model: str, since: str | None = None, route: str = "") -> ModelHealth:
        """Requests, latencies and labels per version and variant."""
        versions = await asyncio.to_thread(reports.health, model, _moment(since), route)
        return ModelHealth(model=model, versions=tuple(versions))

    @app.get("/v1/models/{model}/drift")
    async def drift(model: str, limit: Annotated[int, Query(ge=1, le=1_000)] = 50) -> DriftEvents:
        """The newest drift events of a model, newest first."""
        return DriftEvents(items=tuple(await asyncio.to_thread(reports.drift, model, limit)))

    @app.get("/v1/models/{model}/psi")
    async def psi(model: str, window_s: Annotated[float, Query(ge=60, le=90 * DAY_S)] = 3_600) -> ModelStability:
        """PSI of each feature against the training data, over the last `window_s` seconds."""
        return ModelStability(items=tuple(await asyncio.to_thread(reports.stability, model, int(window_s))))

    @app.get("/v1/timelines/{correlation_id}")
    async def timeline(correlation_id: UUID) -> Timeline:
        """All events of one correlation id, in order."""
        events = await asyncio.to_thread(reports.timeline, str(correlation_id))
        return Timeline(correlation_id=correlation_id, events=tuple(events))

    @app.get("/v1/ingest")
    async def ingest() -> IngestState:
        """Stored rows per partition, and the lag of each partition that this process reads."""
        states = await asyncio.gather(*(consumer.state() for consumer in consumers))
        return IngestState(stored=tuple(await asyncio.to_thread(reports.stored)), consumers=tuple(states))


def _moment(text: str | None) -> datetime:
    """Parse an ISO 8601 moment with a zone; None is the epoch."""
    if text is None:
        return EPOCH
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped + of a zone arrives as a blank
        if moment.tzinfo is None:
            raise Invalid("since: a moment needs its zone, such as 2026-01-31T12:00:00Z", field="since")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"since: {error}; give a moment such as 2026-01-31T12:00:00Z", field="since") from error
