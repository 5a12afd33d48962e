"""Endpoints: each calls one use case."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Request
from pydantic import StringConstraints

from modelyard_contracts import RunState
from modelyard_contracts.references import REFERENCE_PATTERN, VERSION_PATTERN, read_version
from modelyard_runtime.access import Principal, Target
from modelyard_runtime.changes import ChangeSource
from modelyard_runtime.http import allow, target_of, visible
from modelyard_runtime.http.changes import add_change_feed
from modelyard_trainer.api.models import CancelRun, RecipeInfo, RecipeList, RunInfo, RunList, StartRun
from modelyard_trainer.domain.errors import UnknownRun
from modelyard_trainer.domain.run import Run
from modelyard_trainer.usecases import Deps, cancel_run, request_run

KIND = "run"


def add_routes(app: FastAPI, deps: Deps, changes: ChangeSource) -> None:
    """Add the endpoints of runs and recipes, and the change feed."""

    async def by_id(request: Request) -> Target:
        run = await asyncio.to_thread(_run, deps, request.path_params["run_id"])
        return target_of(run.model, KIND)

    @app.post("/v1/runs", status_code=202, tags=["runs"])
    async def start_run(
        body: StartRun, principal: Annotated[Principal, Depends(allow("start", KIND, body="model"))]
    ) -> RunInfo:
        """Request a training run; the same idempotency key returns the same run."""
        request = body.as_request(principal.identity)
        return RunInfo.of(await asyncio.to_thread(request_run, deps, request, idempotency_key=body.idempotency_key))

    @app.get("/v1/runs", tags=["runs"])
    def list_runs(
        principal: Annotated[Principal, Depends(allow("read", KIND, over="any-workspace"))],
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN, max_length=192)] = None,
        state: Annotated[list[RunState] | None, Query(description="only these states", max_length=8)] = None,
        version: Annotated[
            list[Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]] | None,
            Query(max_length=100, description="only runs that registered one of these, each `MODEL@VERSION`"),
        ] = None,
        after: Annotated[UUID | None, Query(description="`next_after` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> RunList:
        """List runs, newest first."""
        readable = visible(principal, "read", KIND)
        versions = [read_version(one) for one in version or ()]
        found = deps.runs.list(model, limit + 1, readable, states=state or (), versions=versions, after=after)
        page = found[:limit]
        return RunList(items=[RunInfo.of(run) for run in page], next_after=page[-1].id if len(found) > limit else None)

    @app.get("/v1/runs/{run_id}", tags=["runs"])
    def get_run(run_id: UUID, _: Annotated[Principal, Depends(allow("read", KIND, find=by_id))]) -> RunInfo:
        """Return a run with its newest log lines."""
        return _info(deps, _run(deps, run_id))

    @app.post("/v1/runs/{run_id}/cancel", status_code=202, tags=["runs"])
    def cancel(
        run_id: UUID,
        principal: Annotated[Principal, Depends(allow("cancel", KIND, find=by_id))],
        body: CancelRun | None = None,
    ) -> RunInfo:
        """Cancel a run that is not being registered yet. The reason stays with the run."""
        reason = body.reason if body else ""
        return RunInfo.of(cancel_run(deps, run_id, by=principal.identity, reason=reason))

    @app.get("/v1/recipes", tags=["recipes"])
    def list_recipes(_: Annotated[Principal, Depends(allow("read", KIND, over="any-workspace"))]) -> RecipeList:
        """List the recipes with the tasks they train and their parameters."""
        return RecipeList(
            items=[
                RecipeInfo(
                    name=recipe.name,
                    tasks=recipe.tasks,
                    inputs=recipe.inputs,
                    needs=recipe.needs,
                    parameters=recipe.parameters.model_json_schema(),
                )
                for recipe in deps.recipes.values()
            ]
        )

    add_change_feed(app, changes, KIND, {KIND: lambda subject: _changed(deps, subject)})


def _run(deps: Deps, run_id: str | UUID) -> Run:
    try:
        return deps.runs.get(UUID(str(run_id)))
    except ValueError:
        raise UnknownRun(str(run_id)[:80]) from None


def _info(deps: Deps, run: Run) -> RunInfo:
    return RunInfo.of(run, deps.log_lines(run.id))


def _changed(deps: Deps, subject: str) -> RunInfo | None:
    try:
        return _info(deps, _run(deps, subject))
    except UnknownRun:
        return None
