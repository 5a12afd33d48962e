"""`/registered-models`: models of the registry, with their aliases."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Depends

from modelyard_registry.api.mlflow.fields import (
    Fields,
    Json,
    WorkspaceName,
    integer,
    page_size,
    paged,
    pairs,
    text,
    texts,
)
from modelyard_registry.api.mlflow.model_views import model_version, registered_model
from modelyard_registry.domain.conditions import parse_filter, parse_order
from modelyard_registry.domain.errors import AliasNotFound, ResourceExists
from modelyard_registry.domain.names import MODEL, key_of
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.tracking import check_key
from modelyard_registry.domain.values import NewResource, Resource, ResourceKey
from modelyard_registry.usecases.aliases import drop_alias, move_alias
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.resources import create_resource, describe_resource
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import Problem, allow

REASON: Final = "by a client of MLflow"
"""MLflow sends no reason for a change."""


def model_in(workspace: str, fields: Json) -> ResourceKey:
    """The model that a request names: a plain name in the workspace of the address."""
    name = text(fields, "name")
    if ":" in name:
        raise Invalid("name: leave the workspace out; it is part of MLFLOW_TRACKING_URI", field="name")
    return key_of(MODEL, f"{workspace}:{name}")


def routes(deps: Deps) -> APIRouter:
    """Creation, reads, searches, tags and aliases."""
    router = APIRouter(prefix="/registered-models")
    for add in (_read, _write, _tags, _aliases, _refused):
        add(router, deps)
    return router


def _read(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", MODEL))

    @router.get("/get")
    def get(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        return _shown(deps, model_in(workspace, fields))

    @router.get("/search")
    def search(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        where, order = parse_filter(text(fields, "filter", "")), [parse_order(one) for one in texts(fields, "order_by")]
        with deps.storage.read() as records:
            found, token = records.model_search.models(
                workspace, where, order, text(fields, "page_token", ""), page_size(fields, 100)
            )
            shown = _views(records, found)
        return paged("registered_models", shown, token)

    @router.post("/get-latest-versions")
    @router.get("/get-latest-versions")
    def latest(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        """The newest version: there are no stages of MLflow here, so every version has the stage None."""
        key = model_in(workspace, fields)
        asked = texts(fields, "stages")
        found = _shown(deps, key)["registered_model"]["latest_versions"]
        return {"model_versions": found if not asked or "None" in asked or "none" in asked else []}


def _write(router: APIRouter, deps: Deps) -> None:
    creator, updater = Depends(allow("create", MODEL)), Depends(allow("update", MODEL))

    @router.post("/create")
    def create(workspace: WorkspaceName, fields: Fields, principal: Principal = creator) -> Json:
        key = model_in(workspace, fields)
        wanted = NewResource(key, text(fields, "description", ""), "", pairs(fields, "tags"))
        _, new = create_resource(deps, wanted, origin_of(deps, principal.identity))
        if not new:
            raise ResourceExists(key, ["name"])
        return _shown(deps, key)

    @router.patch("/update")
    def update(workspace: WorkspaceName, fields: Fields, principal: Principal = updater) -> Json:
        origin = origin_of(deps, principal.identity, REASON)
        key = model_in(workspace, fields)
        describe_resource(deps, key, description=text(fields, "description", ""), labels={}, origin=origin)
        return _shown(deps, key)


def _tags(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", MODEL))

    @router.post("/set-tag")
    def set_tag(workspace: WorkspaceName, fields: Fields, principal: Principal = updater) -> Json:
        origin = origin_of(deps, principal.identity, REASON)
        labels = {check_key(fields.get("key"), "key"): text(fields, "value", "")}
        describe_resource(deps, model_in(workspace, fields), description=None, labels=labels, origin=origin)
        return {}

    @router.delete("/delete-tag")
    def delete_tag(workspace: WorkspaceName, fields: Fields, principal: Principal = updater) -> Json:
        origin = origin_of(deps, principal.identity, REASON)
        labels = {check_key(fields.get("key"), "key"): None}
        describe_resource(deps, model_in(workspace, fields), description=None, labels=labels, origin=origin)
        return {}


def _aliases(router: APIRouter, deps: Deps) -> None:
    reader, mover = Depends(allow("read", MODEL)), Depends(allow("move-alias", MODEL))

    @router.get("/alias")
    def get(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        key, alias = model_in(workspace, fields), text(fields, "alias")
        with deps.storage.read() as records:
            resource = records.resources.get(key)
            found = records.aliases.get(resource, alias)
            if found is None or found.version is None:
                raise AliasNotFound(key, alias)
            held = records.aliases.of_many([resource])[resource.id]
            return {"model_version": model_version(key, records.versions.get(resource, found.version), held)}

    @router.post("/alias")
    def set_alias(workspace: WorkspaceName, fields: Fields, principal: Principal = mover) -> Json:
        key, alias = model_in(workspace, fields), text(fields, "alias")
        number = version_number(fields)
        origin = origin_of(deps, principal.identity, REASON)
        move_alias(deps, key, alias, number, expected_generation=_generation(deps, key, alias), origin=origin)
        return {}

    @router.delete("/alias")
    def delete_alias(workspace: WorkspaceName, fields: Fields, principal: Principal = mover) -> Json:
        key, alias = model_in(workspace, fields), text(fields, "alias")
        origin = origin_of(deps, principal.identity, REASON)
        drop_alias(deps, key, alias, expected_generation=_generation(deps, key, alias), origin=origin)
        return {}


def _refused(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", MODEL))

    @router.post("/rename")
    def rename(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        raise Problem(501, "not_served", "models are not renamed: routes and histories name them; create a new one")

    @router.delete("/delete")
    def delete(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        raise Problem(501, "not_served", "models are not deleted: their history is evidence; retire their versions")


def version_number(fields: Json) -> int:
    """The number of a version."""
    found = integer(fields, "version", least=1)
    if found is None or found >= 2**31:
        raise Invalid("version: send the number of a version", field="version")
    return found


def _generation(deps: Deps, key: ResourceKey, alias: str) -> int:
    """MLflow states no expected generation, so a move follows the one it finds."""
    with deps.storage.read() as records:
        found = records.aliases.get(records.resources.get(key), alias)
    return found.generation if found else 0


def _shown(deps: Deps, key: ResourceKey) -> Json:
    with deps.storage.read() as records:
        return {"registered_model": _views(records, [records.resources.get(key)])[0]}


def _views(records: Records, found: Sequence[Resource]) -> list[Json]:
    held, newest = records.aliases.of_many(found), records.model_search.newest(found)
    return [registered_model(one, held[one.id], newest.get(one.id)) for one in found]
