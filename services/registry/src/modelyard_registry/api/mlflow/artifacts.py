"""Artifacts through the registry: `/mlflow-artifacts/artifacts`, streamed."""

import asyncio

from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from modelyard_registry.api.blobs import receive
from modelyard_registry.api.downloads import artifact_response
from modelyard_registry.api.mlflow.experiments import KIND
from modelyard_registry.api.mlflow.fields import Fields, Json, WorkspaceName, run_id, text
from modelyard_registry.domain.names import MODEL
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases import run_artifacts as use
from modelyard_registry.usecases.run_artifacts import RUNS, VERSIONS, Place
from modelyard_runtime.access import Principal, Target
from modelyard_runtime.http import Problem, allow, authorize


def routes(deps: Deps) -> APIRouter:
    """Lists, downloads, uploads and removal."""
    router = APIRouter(prefix="/mlflow-artifacts/artifacts")
    _read(router, deps)
    _write(router, deps)
    return router


def run_routes(deps: Deps) -> APIRouter:
    """`/artifacts/list` of a run, which takes the id of the run."""
    router = APIRouter()

    reader = Depends(allow("read", KIND))

    @router.get("/artifacts/list")
    def list_of_run(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        id_ = run_id(fields)
        place = Place(RUNS, id_, 0, text(fields, "path", "").strip("/"))
        root = f"mlflow-artifacts:/{RUNS}/{id_}/{use.ROOT}"
        return {"root_uri": root, "files": _lines(deps, workspace, place, relative=False)}

    return router


def _read(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", KIND))

    @router.get("")
    def list_folder(workspace: WorkspaceName, fields: Fields, principal: Principal = reader) -> Json:
        place = _readable(workspace, text(fields, "path"), principal)
        return {"files": _lines(deps, workspace, place, relative=True)}

    @router.get("/{path:path}")
    def download(workspace: WorkspaceName, path: str, request: Request, principal: Principal = reader) -> Response:
        place = _readable(workspace, path, principal)
        with deps.storage.read() as records:
            found = use.artifact_at(records, workspace, place)
        return artifact_response(deps.blobs, found, request)


def _write(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", KIND))

    @router.put("/{path:path}")
    async def upload(workspace: WorkspaceName, path: str, request: Request, _: Principal = updater) -> Json:
        place = use.place_in_uri(path)
        await asyncio.to_thread(_check_open, deps, workspace, place)
        intake = await asyncio.to_thread(deps.blobs.intake)
        try:
            await receive(request, intake)
            digest, size = await asyncio.to_thread(intake.finish)
        except ClientDisconnect as error:
            raise Problem(400, "upload_cut_off", "the connection ended before the body did; upload again") from error
        finally:
            intake.abandon()
        await asyncio.to_thread(use.keep_artifact, deps, workspace, place, digest, size)
        return {}

    @router.delete("/{path:path}")
    def remove(workspace: WorkspaceName, path: str, _: Principal = updater) -> Json:
        use.remove_artifacts(deps, workspace, use.place_in_uri(path))
        return {}


def _readable(workspace: str, path: str, principal: Principal) -> Place:
    place = use.place_in_uri(path)
    if place.kind == VERSIONS:
        authorize(principal, "read", Target(workspace, MODEL, place.owner))
    return place


def _check_open(deps: Deps, workspace: str, place: Place) -> None:
    """Refuse an upload before its bytes arrive."""
    with deps.storage.transaction() as unit:
        use.require_open(unit, workspace, place)


def _lines(deps: Deps, workspace: str, place: Place, *, relative: bool) -> list[Json]:
    """Lines of a folder. relative: the client of artifact URIs takes paths relative to the folder."""
    with deps.storage.read() as records:
        found = use.artifacts_at(records, workspace, place)
    lines = use.listed(found, place.path)
    cut = len(place.path) + 1 if relative and place.path else 0
    return [
        {
            "path": line.path[cut:] if line.path != place.path else line.path.rpartition("/")[2],
            "is_dir": line.size_bytes is None,
            **({} if line.size_bytes is None else {"file_size": line.size_bytes}),
        }
        for line in lines
    ]
