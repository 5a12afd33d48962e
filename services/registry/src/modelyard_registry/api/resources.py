"""Resources of one kind: `/v1/models`, `/v1/datasets`, `/v1/prompts`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from modelyard_registry.api.callers import cursor, readable_workspaces
from modelyard_registry.api.fields import After, Limit, ReferencePath
from modelyard_registry.api.requests import NewResourceBody
from modelyard_registry.api.responses import EntryOut, Page, ResourceOut
from modelyard_registry.domain.names import key_of
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import NewResource, ResourceKey
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.resources import create_resource
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow


def routes(deps: Deps, kind: str) -> APIRouter:
    """Creation, lists and history of one kind."""
    router = APIRouter(prefix=f"/v1/{kind}s", tags=[kind])
    _write(router, deps, kind)
    _read(router, deps, kind)
    return router


def _write(router: APIRouter, deps: Deps, kind: str) -> None:
    creator = Depends(allow("create", kind, body="name"))

    @router.post("", status_code=201, responses={200: {"model": ResourceOut}})
    def create(body: NewResourceBody, response: Response, principal: Principal = creator) -> ResourceOut:
        """Create it, or return it when it exists with the same content (200)."""
        wanted = NewResource(key_of(kind, body.name), body.description, body.owner, body.labels)
        resource, new = create_resource(deps, wanted, origin_of(deps, principal.identity))
        response.status_code = 201 if new else 200
        return show_resource(deps, resource.key)


def _read(router: APIRouter, deps: Deps, kind: str) -> None:
    reader = Depends(allow("read", kind))

    @router.get("")
    def list_all(
        limit: Limit = 100,
        after: Annotated[str, Query(max_length=200, description="cursor: the last name of the page before")] = "",
        workspace: Annotated[str | None, Query(max_length=63)] = None,
        principal: Principal = Depends(allow("read", kind, over="any-workspace")),  # noqa: B008  per kind
    ) -> Page[ResourceOut]:
        """Resources of all workspaces that the caller may read, or of one of them."""
        visible = readable_workspaces(principal, kind)
        if workspace is not None:
            visible = [workspace] if visible is None or workspace in visible else []
        with deps.storage.read() as records:
            found = records.resources.page(kind, cursor(kind, after), limit + 1, visible)
            aliases = records.aliases.of_many(found)
        items = [ResourceOut.of(resource, aliases[resource.id]) for resource in found[:limit]]
        return Page(items=items, next_after=items[-1].name if len(found) > limit else None)

    @router.get("/{reference}")
    def show(reference: ReferencePath, _: Principal = reader) -> ResourceOut:
        return show_resource(deps, key_of(kind, reference))

    @router.get("/{reference}/history")
    def history(
        reference: ReferencePath, after: After = 0, limit: Limit = 100, _: Principal = reader
    ) -> Page[EntryOut]:
        """Every change and its evidence, oldest first."""
        return show_history(deps, key_of(kind, reference), after, limit)


def show_resource(deps: Deps, key: ResourceKey) -> ResourceOut:
    """A resource with its aliases."""
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        return ResourceOut.of(resource, records.aliases.of_many([resource])[resource.id])


def show_history(deps: Deps, key: ResourceKey, after: int, limit: int) -> Page[EntryOut]:
    """A page of the history of a resource."""
    with deps.storage.read() as records:
        found = records.history.page(records.resources.get(key), after, limit + 1)
    items = [EntryOut.of(entry) for entry in found[:limit]]
    return Page(items=items, next_after=items[-1].position if len(found) > limit else None)
