"""`/v1/experiments` and `/v1/runs`: reads for the console, the command line and programs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from modelyard_registry.api.blobs import DOWNLOAD
from modelyard_registry.api.downloads import artifact_response
from modelyard_registry.api.experiment_responses import (
    ArtifactOut,
    ExperimentOut,
    LoggedModelOut,
    MetricOut,
    RunDetailOut,
    RunOut,
    RunVersionOut,
)
from modelyard_registry.api.fields import CleanText, Limit, PageCursor, read_point_cursor, written_point_cursor
from modelyard_registry.api.responses import Page
from modelyard_registry.domain.conditions import Comparison, parse_filter, parse_order
from modelyard_registry.domain.errors import ExperimentNotFound, RunNotFound
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.tracking import Experiment, Lifecycle, check_path
from modelyard_registry.usecases import run_artifacts as artifacts
from modelyard_registry.usecases.run_artifacts import RUNS, Place
from modelyard_registry.usecases.runs import run_in
from modelyard_runtime.access import Principal, Target
from modelyard_runtime.http import allow, allowed_workspaces

KIND: Final = "experiment"
NUMERIC: Final = frozenset({"start_time", "end_time"})
Search = Annotated[CleanText, Query(alias="filter", max_length=4_000, examples=["metrics.accuracy > 0.9"])]
Token = Annotated[str, Query(max_length=8_000, description="`next_after` of the page before")]
ExperimentId = Annotated[int, Path(ge=0, le=2**31 - 1)]
Show = Annotated[Lifecycle, Query(description="active or deleted ones")]


def routes(deps: Deps) -> APIRouter:
    """Experiments, their runs, and what runs hold."""
    router = APIRouter(tags=[KIND])
    for add in (_experiments, _runs, _metrics, _artifacts):
        add(router, deps)
    return router


def _experiments(router: APIRouter, deps: Deps) -> None:
    lister = Depends(allow("read", KIND, over="any-workspace"))

    @router.get("/v1/experiments")
    def list_all(
        workspace: Annotated[CleanText, Query(max_length=63)] = "",
        q: Annotated[CleanText, Query(max_length=200, description="part of the name, in any case")] = "",
        show: Show = Lifecycle.ACTIVE,
        after: Token = "",
        limit: Limit = 100,
        principal: Principal = lister,
    ) -> Page[ExperimentOut]:
        """Experiments of the workspaces that the caller may read, newest first."""
        readable = allowed_workspaces(principal, "read", KIND)
        if workspace:
            readable = frozenset({workspace}) & (frozenset({workspace}) if readable is None else readable)
        where = [Comparison("attribute", "name", "ILIKE", f"%{q}%")] if q else []
        with deps.storage.read() as records:
            found, token = records.experiments.page(readable, where, (), (show,), after, limit)
            counts = records.experiments.counts([one.id for one in found])
        return Page(items=[ExperimentOut.of(one, counts.get(one.id, 0)) for one in found], next_after=token)

    reader = Depends(allow("read", KIND, find=_experiment_target(deps)))

    @router.get("/v1/experiments/{experiment_id}")
    def show_one(experiment_id: ExperimentId, _: Principal = reader) -> ExperimentOut:
        with deps.storage.read() as records:
            found = _experiment(deps, experiment_id)
            return ExperimentOut.of(found, records.experiments.counts([found.id]).get(found.id, 0))


def _runs(router: APIRouter, deps: Deps) -> None:
    of_experiment = Depends(allow("read", KIND, find=_experiment_target(deps)))
    of_run = Depends(allow("read", KIND, find=_run_target(deps)))

    @router.get("/v1/experiments/{experiment_id}/runs")
    def list_runs(
        experiment_id: ExperimentId,
        filter_: Search = "",
        order_by: Annotated[CleanText, Query(max_length=400, examples=["metrics.accuracy DESC"])] = "",
        show: Show = Lifecycle.ACTIVE,
        after: Token = "",
        limit: Limit = 100,
        _: Principal = of_experiment,
    ) -> Page[RunOut]:
        """Runs with their parameters, tags and latest metrics, newest first unless ordered."""
        found = _experiment(deps, experiment_id)
        order = [parse_order(order_by)] if order_by else []
        with deps.storage.read() as records:
            runs = records.runs.search(
                found.workspace, [found.id], parse_filter(filter_, NUMERIC), order, (show,), after, limit
            )
            data = records.runs.data([one.id for one in runs.runs])
        return Page(items=[RunOut.of(one, data[one.id]) for one in runs.runs], next_after=runs.next_token)

    @router.get("/v1/runs/{run_id}")
    def show_run(run_id: str, _: Principal = of_run) -> RunDetailOut:
        """A run with its logged models and the versions that were registered from it."""
        with deps.storage.read() as records:
            workspace = records.runs.workspace_of(run_id) or ""
            run = run_in(records, workspace, run_id)
            models = [LoggedModelOut.of(one) for one in records.logged_models.of_run(run_id)]
            versions = [RunVersionOut.of(key, version) for key, version in records.versions.of_run(run_id)]
            return RunDetailOut.detailed(run, records.runs.data([run_id])[run_id], models, versions)


def _metrics(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", KIND, find=_run_target(deps)))

    @router.get("/v1/runs/{run_id}/metrics/{key:path}")
    def history(
        run_id: str,
        key: str,
        after: PageCursor = "",
        limit: Limit = 1_000,
        _: Principal = reader,
    ) -> Page[MetricOut]:
        """Every value of a metric, by step and time."""
        with deps.storage.read() as records:
            found = records.runs.points(run_id, key, read_point_cursor(after), limit + 1)
        token = written_point_cursor(found[limit - 1]) if len(found) > limit else None
        return Page(items=[MetricOut.of(one) for one in found[:limit]], next_after=token)


def _artifacts(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", KIND, find=_run_target(deps)))

    @router.get("/v1/runs/{run_id}/artifacts")
    def list_artifacts(run_id: str, path: CleanText = "", _: Principal = reader) -> Page[ArtifactOut]:
        """Files and folders directly inside of a folder; '' is the root."""
        path = path.strip("/")
        with deps.storage.read() as records:
            place = Place(RUNS, run_id, 0, check_path(path) if path else "")
            found = artifacts.artifacts_at(records, records.runs.workspace_of(run_id) or "", place)
        return Page(items=[ArtifactOut.of(line) for line in artifacts.listed(found, path)])

    @router.get("/v1/runs/{run_id}/artifacts/{path:path}", response_class=StreamingResponse, responses=DOWNLOAD)
    def download(run_id: str, path: str, request: Request, _: Principal = reader) -> Response:
        """The bytes of a file; `Range` works."""
        with deps.storage.read() as records:
            place = Place(RUNS, run_id, 0, check_path(path))
            found = artifacts.artifact_at(records, records.runs.workspace_of(run_id) or "", place)
        return artifact_response(deps.blobs, found, request)


def _experiment(deps: Deps, experiment_id: int) -> Experiment:
    with deps.storage.read() as records:
        found = records.experiments.anywhere(experiment_id)
    if found is None:
        raise ExperimentNotFound(str(experiment_id), "that this key may read")
    return found


def _experiment_target(deps: Deps) -> Callable[[Request], Awaitable[Target]]:
    def find(experiment_id: str) -> Target:
        number = int(experiment_id) if experiment_id.isascii() and experiment_id.isdigit() else 0
        found = _experiment(deps, min(number, 2**31 - 1))
        return Target(found.workspace, KIND, found.name)

    async def look_up(request: Request) -> Target:
        return await asyncio.to_thread(find, str(request.path_params["experiment_id"]))

    return look_up


def _run_target(deps: Deps) -> Callable[[Request], Awaitable[Target]]:
    def find(run_id: str) -> Target:
        with deps.storage.read() as records:
            workspace = records.runs.workspace_of(run_id)
        if workspace is None:
            raise RunNotFound(run_id, "that this key may read")
        return Target(workspace, KIND, run_id)

    async def look_up(request: Request) -> Target:
        return await asyncio.to_thread(find, str(request.path_params["run_id"]))

    return look_up
