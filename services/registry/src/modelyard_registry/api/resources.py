"""Resources of one kind: `/v1/models`, `/v1/datasets`, `/v1/prompts`."""

import re
from dataclasses import replace
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Response

from modelyard_contracts import VersionStage
from modelyard_contracts.admission import ScanVerdict
from modelyard_contracts.manifest import SourceKind
from modelyard_registry.api.callers import actor_of, cursor
from modelyard_registry.api.fields import After, CleanText, Limit, Lineage, ReferencePath, name_and_value
from modelyard_registry.api.requests import NewResourceBody, OwnerBody
from modelyard_registry.api.responses import EntryOut, FacetsOut, ListedResourceOut, Page, ResourceOut
from modelyard_registry.domain.names import key_of
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import MetricBound, NewResource, ResourceFilter, ResourceKey, ResourceSort
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.resources import change_owner, create_resource
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import allow, allowed_workspaces

SHOWN: Final = "of the champion, or of the newest version when there is none"
METRIC: Final = re.compile(r"(?P<name>[^<>=]+)(?P<sign>>=|<=)(?P<value>-?[0-9]{1,15}(\.[0-9]{1,15})?)")
TEXTS: Final = "part of the name, the description, the owner or the labels, in any case"
Sort = Annotated[ResourceSort, Query(description="by name, newest first, or most versions first")]


def routes(deps: Deps, kind: str) -> APIRouter:
    """Creation, lists and history of one kind."""
    router = APIRouter(prefix=f"/v1/{kind}s", tags=[kind])
    _write(router, deps, kind)
    _lists(router, deps, kind)
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

    updater = Depends(allow("update", kind))

    @router.put("/{reference}/owner")
    def set_owner(reference: ReferencePath, body: OwnerBody, principal: Principal = updater) -> ResourceOut:
        """Name another owner. 409 `stale_owner` when it is not `expected_owner` any more; repeats change nothing."""
        key = key_of(kind, reference)
        origin = origin_of(deps, actor_of(principal, body.actor), body.reason)
        change_owner(deps, key, body.owner, expected_owner=body.expected_owner, origin=origin)
        return show_resource(deps, key)


Facet = Literal["owner", "workspace", "stage", "flavour", "task", "framework", "license", "source", "scan_verdict"]


def _lists(router: APIRouter, deps: Deps, kind: str) -> None:
    lister = Depends(allow("read", kind, over="any-workspace"))

    @router.get("")
    def list_all(
        where: Annotated[ResourceFilter, Depends(_filter)],
        limit: Limit = 100,
        after: Annotated[str, Query(max_length=200, description="cursor: the last name of the page before")] = "",
        sort: Annotated[
            ResourceSort, Query(description="name, newest first, or most versions first")
        ] = ResourceSort.NAME,
        principal: Principal = lister,
    ) -> Page[ListedResourceOut]:
        """Resources that fit every condition, of all workspaces that the caller may read or of one of them."""
        with deps.storage.read() as records:
            readable = _readable(where, principal, kind)
            found = records.search.page(kind, readable, sort, cursor(kind, after), limit + 1)
            page = found[:limit]
            aliases, summaries = records.aliases.of_many(page), records.search.summaries(page)
        items = [ListedResourceOut.listed(one, aliases[one.id], summaries[one.id]) for one in page]
        return Page(items=items, next_after=items[-1].name if len(found) > limit else None)

    @router.get("/facets")
    def facets(
        where: Annotated[ResourceFilter, Depends(_filter)],
        facet: Annotated[list[Facet] | None, Query(description="count only these; the others are empty")] = None,
        principal: Principal = lister,
    ) -> FacetsOut:
        """Numbers of resources that fit every condition, by property of theirs or of the version that a list shows."""
        with deps.storage.read() as records:
            found = records.search.facets(kind, _readable(where, principal, kind), facet or ())
        return FacetsOut.model_validate(found)


def _filter(
    lineage: Lineage,
    workspace: Annotated[CleanText | None, Query(max_length=63)] = None,
    q: Annotated[
        CleanText | None,
        Query(max_length=200, description="part of the name, the description, the owner or the labels"),
    ] = None,
    owner: Annotated[CleanText | None, Query(max_length=200)] = None,
    label: Annotated[CleanText | None, Query(max_length=400, description="`name=value`")] = None,
    stage: Annotated[VersionStage | None, Query(description="a version has this stage")] = None,
    alias: Annotated[CleanText | None, Query(max_length=64, description="the alias points at a version")] = None,
    flavour: Annotated[CleanText | None, Query(max_length=200, description="of the champion or newest version")] = None,
    task: Annotated[CleanText | None, Query(max_length=64, description=SHOWN)] = None,
    framework: Annotated[CleanText | None, Query(max_length=64, description=SHOWN)] = None,
    license: Annotated[CleanText | None, Query(max_length=256, description=SHOWN)] = None,
    source: Annotated[
        SourceKind | Literal["trained", ""] | None,
        Query(description="where the files came from; `trained`: a run of the platform"),
    ] = None,
    scan_verdict: Annotated[ScanVerdict | Literal[""] | None, Query(description=SHOWN)] = None,
    metric: Annotated[CleanText | None, Query(max_length=200, description="`NAME>=VALUE` or `NAME<=VALUE`")] = None,
) -> ResourceFilter:
    workspaces = None if workspace is None else (workspace,)
    labelled = name_and_value(label or None, "label")  # an empty filter filters nothing
    return ResourceFilter(
        workspaces=workspaces,
        q=q,
        owner=owner or None,
        label=labelled,
        lineage=lineage,
        stage=stage,
        alias=alias or None,
        flavour=flavour or None,
        task=task or None,
        framework=framework or None,
        license=license or None,
        source=source or None,
        scan_verdict=scan_verdict or None,
        metric=_bound(metric) if metric else None,
    )


def _bound(text: str) -> MetricBound:
    """Parse `NAME>=VALUE` or `NAME<=VALUE`; Invalid otherwise."""
    found = METRIC.fullmatch(text)
    if found is None:
        raise Invalid("metric: write NAME>=VALUE or NAME<=VALUE, such as accuracy>=0.9", field="metric")
    return MetricBound(found["name"], found["sign"] == ">=", float(found["value"]))


def _readable(where: ResourceFilter, principal: Principal, kind: str) -> ResourceFilter:
    """Narrow the workspaces to those that the caller may read."""
    allowed = allowed_workspaces(principal, "read", kind)
    if allowed is None:
        return where
    return replace(where, workspaces=allowed if where.workspaces is None else allowed & set(where.workspaces))


def _read(router: APIRouter, deps: Deps, kind: str) -> None:
    reader = Depends(allow("read", kind))

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
