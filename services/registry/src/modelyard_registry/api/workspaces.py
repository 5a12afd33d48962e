"""/v1/workspaces."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from modelyard_registry.api.fields import After, Limit, WorkspacePath
from modelyard_registry.api.requests import NewWorkspaceBody
from modelyard_registry.api.resources import show_history
from modelyard_registry.api.responses import EntryOut, Page, WorkspaceOut
from modelyard_registry.domain.names import WORKSPACE, workspace_key
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.resources import create_workspace
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow, allowed_workspaces

Creator = Annotated[Principal, Depends(allow("create", WORKSPACE, over="all-workspaces"))]
Reader = Annotated[Principal, Depends(allow("read", WORKSPACE))]
Lister = Annotated[Principal, Depends(allow("read", WORKSPACE, over="any-workspace"))]


def routes(deps: Deps) -> APIRouter:
    """Creation, lists and history of workspaces."""
    router = APIRouter(prefix="/v1/workspaces", tags=[WORKSPACE])

    @router.post("", status_code=201, responses={200: {"model": WorkspaceOut}})
    def create(body: NewWorkspaceBody, response: Response, principal: Creator) -> WorkspaceOut:
        """Create it, or return it when it exists with the same content (200)."""
        origin = origin_of(deps, principal.identity)
        workspace, new = create_workspace(deps, body.name, body.description, body.owner, origin)
        response.status_code = 201 if new else 200
        return WorkspaceOut.of(workspace)

    @router.get("")
    def list_all(
        principal: Lister, limit: Limit = 100, after: Annotated[str, Query(max_length=63)] = ""
    ) -> Page[WorkspaceOut]:
        """Workspaces that the caller may read."""
        visible = allowed_workspaces(principal, "read", WORKSPACE)
        start = workspace_key(after) if after else None
        with deps.storage.read() as records:
            found = records.resources.page(WORKSPACE, start, limit + 1, visible)
        items = [WorkspaceOut.of(resource) for resource in found[:limit]]
        return Page(items=items, next_after=items[-1].name if len(found) > limit else None)

    @router.get("/{workspace}")
    def show(workspace: WorkspacePath, _: Reader) -> WorkspaceOut:
        with deps.storage.read() as records:
            return WorkspaceOut.of(records.resources.get(workspace_key(workspace)))

    @router.get("/{workspace}/history")
    def history(workspace: WorkspacePath, _: Reader, after: After = 0, limit: Limit = 100) -> Page[EntryOut]:
        """Keys that were created, rotated and revoked for the workspace, oldest first."""
        return show_history(deps, workspace_key(workspace), after, limit)

    return router
