"""The monitor's HTTP: health of versions, drift, PSI, stories, and how the ingest is doing."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import FastAPI, Query

from modelyard_monitor.ingest.planned import PlannedIngest
from modelyard_monitor.queries import Questions
from modelyard_runtime.errors import Invalid

DAY_S: Final = 86_400


def add_routes(app: FastAPI, questions: Questions, ingests: Sequence[PlannedIngest]) -> None:
    """All routes need a token with `read`."""

    @app.get("/v1/models/{model}/health")
    async def health(model: str, since: str | None = None, route: str = "") -> dict[str, Any]:
        moment = _moment(since)
        return {"model": model, "versions": await asyncio.to_thread(questions.health, model, moment, route)}

    @app.get("/v1/models/{model}/drift")
    async def drift(model: str, limit: Annotated[int, Query(ge=1, le=1_000)] = 50) -> dict[str, Any]:
        return {"items": await asyncio.to_thread(questions.drift, model, limit)}

    @app.get("/v1/models/{model}/psi")
    async def psi(model: str, window_s: Annotated[float, Query(ge=60, le=90 * DAY_S)] = 3_600) -> dict[str, Any]:
        return {"items": await asyncio.to_thread(questions.psi, model, int(window_s))}

    @app.get("/v1/stories/{correlation_id}")
    async def story(correlation_id: UUID) -> dict[str, Any]:
        events = await asyncio.to_thread(questions.story, str(correlation_id))
        return {"correlation_id": str(correlation_id), "events": events}

    @app.get("/v1/ingest")
    async def ingest() -> dict[str, Any]:
        """What is stored, for anyone to check, and how far behind this process is with its partitions."""
        consumers = await asyncio.gather(*(one.state() for one in ingests))
        return {"stored": await asyncio.to_thread(questions.stored), "consumers": consumers}


def _moment(text: str | None) -> datetime:
    """An ISO moment with a zone; None is the beginning of time."""
    if text is None:
        return datetime(1970, 1, 1, tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped + of a zone arrives as a blank
    except ValueError as error:
        raise Invalid(f"since: {error}; give a moment such as 2026-01-31T12:00:00Z", field="since") from error
    if moment.tzinfo is None:
        raise Invalid("since: a moment needs its zone, such as 2026-01-31T12:00:00Z", field="since")
    return moment.astimezone(UTC)
