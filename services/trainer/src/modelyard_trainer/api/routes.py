"""Endpoints: each calls one use case."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Query, Request

from modelyard_runtime.http import caller
from modelyard_trainer.api.models import StartRun
from modelyard_trainer.domain.run import Run
from modelyard_trainer.usecases import Deps, cancel_run, request_run


def add_routes(app: FastAPI, deps: Deps) -> None:
    """Add the endpoints of runs and recipes."""

    @app.post("/v1/runs", status_code=202)
    async def start(body: StartRun, request: Request) -> dict[str, Any]:
        wanted = body.as_request(caller(request).name)
        return as_json(await asyncio.to_thread(request_run, deps, wanted, idempotency_key=body.idempotency_key))

    @app.get("/v1/runs")
    async def list_runs(
        model: str | None = None, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
    ) -> dict[str, list[dict[str, Any]]]:
        return {"items": [as_json(run) for run in await asyncio.to_thread(deps.runs.list, model, limit)]}

    @app.get("/v1/runs/{run_id}")
    async def get_run(run_id: UUID) -> dict[str, Any]:
        return as_json(await asyncio.to_thread(deps.runs.get, run_id))

    @app.post("/v1/runs/{run_id}/cancel", status_code=202)
    async def cancel(run_id: UUID) -> dict[str, Any]:
        return as_json(await asyncio.to_thread(cancel_run, deps, run_id))

    @app.get("/v1/recipes")
    async def list_recipes() -> dict[str, list[dict[str, Any]]]:
        items = [
            {"name": recipe.name, "parameters": recipe.parameters.model_json_schema(), "needs": recipe.needs}
            for recipe in deps.recipes.values()
        ]
        return {"items": items}


def as_json(run: Run) -> dict[str, Any]:
    """A run as JSON; `run_id` is named as in the events."""
    return {"run_id": str(run.id), **run.model_dump(mode="json")}
