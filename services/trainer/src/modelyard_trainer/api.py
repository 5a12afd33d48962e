"""HTTP to use cases, one each."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Query, Request
from pydantic import Field

from modelyard_contracts import Part
from modelyard_runtime.http import caller
from modelyard_trainer.domain.run import Run
from modelyard_trainer.usecases import Deps, Wanted, cancel_run, request_run


class RunRequest(Part):
    """The body of POST /v1/runs."""

    model: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")
    recipe: str | None = None
    """None: the recipe of the model's retraining policy."""
    dataset_digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """None: a snapshot of recent labelled predictions."""
    parameters: dict[str, str] = Field(default_factory=dict)
    reason: str = Field(default="asked for by API", max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: str | None = Field(default=None, max_length=200)


def add_routes(app: FastAPI, deps: Deps) -> None:
    """POST /v1/runs, GET /v1/runs, GET /v1/runs/{id}, POST /v1/runs/{id}/cancel."""

    @app.post("/v1/runs", status_code=202)
    async def start(body: RunRequest, request: Request) -> dict[str, Any]:
        fields = body.model_dump(exclude={"idempotency_key"})
        wanted = Wanted(**fields, requested_by=caller(request).name)
        return shown(await asyncio.to_thread(request_run, deps, wanted, idempotency_key=body.idempotency_key))

    @app.get("/v1/runs")
    async def many(
        model: str | None = None, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
    ) -> dict[str, list[dict[str, Any]]]:
        return {"items": [shown(run) for run in await asyncio.to_thread(deps.runs.list, model, limit)]}

    @app.get("/v1/runs/{run_id}")
    async def one(run_id: UUID) -> dict[str, Any]:
        return shown(await asyncio.to_thread(deps.runs.get, run_id))

    @app.post("/v1/runs/{run_id}/cancel", status_code=202)
    async def cancel(run_id: UUID) -> dict[str, Any]:
        return shown(await asyncio.to_thread(cancel_run, deps, run_id))

    @app.get("/v1/recipes")
    async def recipes() -> dict[str, list[dict[str, Any]]]:
        items = [
            {"name": recipe.name, "parameters": recipe.parameters.model_json_schema(), "needs": recipe.needs}
            for recipe in deps.recipes.values()
        ]
        return {"items": items}


def shown(run: Run) -> dict[str, Any]:
    """A run as JSON; `run_id` as in the events."""
    return {"run_id": str(run.id), **run.model_dump(mode="json")}
