"""`/model-versions`: versions of the registry, made of what the client logged."""

from collections.abc import Mapping

from fastapi import APIRouter, Depends

from modelyard_registry.api.mlflow.fields import (
    Fields,
    Json,
    WorkspaceName,
    page_size,
    paged,
    pairs,
    text,
    texts,
)
from modelyard_registry.api.mlflow.model_views import NOTE, OWN, download_uri, model_version
from modelyard_registry.api.mlflow.registered_models import REASON, model_in, version_number
from modelyard_registry.domain.conditions import parse_filter, parse_order
from modelyard_registry.domain.names import MODEL
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.tracking import check_key
from modelyard_registry.domain.values import ResourceKey, Version
from modelyard_registry.usecases.decisions import decide
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.mlflow_versions import register_logged
from modelyard_registry.usecases.versions import label_version
from modelyard_runtime.access import Principal, Target, may
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import Problem, allow


def routes(deps: Deps) -> APIRouter:
    """Registration, reads, searches, tags and retirement."""
    router = APIRouter(prefix="/model-versions")
    for add in (_register, _read, _label, _tags, _end):
        add(router, deps)
    return router


def _register(router: APIRouter, deps: Deps) -> None:
    registrar = Depends(allow("register", MODEL))

    @router.post("/create")
    def create(workspace: WorkspaceName, fields: Fields, principal: Principal = registrar) -> Json:
        """Describe, scan and register the files at `source`. Equal files are one version."""
        key, tags = model_in(workspace, fields), _own_refused(pairs(fields, "tags"))
        if description := text(fields, "description", ""):
            tags[NOTE] = description
        made = register_logged(
            deps,
            key,
            text(fields, "source"),
            run_id=text(fields, "run_id", ""),
            tags=tags,
            origin=origin_of(deps, principal.identity, REASON),
            may_allow_code=may(principal, "allow-code", Target(key.workspace, MODEL, key.name)).allowed,
        )
        return _shown(deps, key, made.version)


def _read(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", MODEL))

    @router.get("/get")
    def get(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        return _shown(deps, model_in(workspace, fields), version_number(fields))

    @router.get("/get-download-uri")
    def get_uri(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        key, number = model_in(workspace, fields), version_number(fields)
        return {"artifact_uri": download_uri(key, _version(deps, key, number))}

    @router.get("/search")
    def search(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        where, order = parse_filter(text(fields, "filter", "")), [parse_order(one) for one in texts(fields, "order_by")]
        with deps.storage.read() as records:
            found, token = records.model_search.versions(
                workspace, where, order, text(fields, "page_token", ""), page_size(fields, 200)
            )
            models = [records.resources.get(key) for key in dict.fromkeys(key for key, _ in found)]
            held = records.aliases.of_many(models)
            aliases = {one.key: held[one.id] for one in models}
        return paged("model_versions", [model_version(key, one, aliases[key]) for key, one in found], token)


def _label(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", MODEL))

    @router.patch("/update")
    def update(workspace: WorkspaceName, fields: Fields, principal: Principal = updater) -> Json:
        key, number = model_in(workspace, fields), version_number(fields)
        _tag(deps, key, number, {NOTE: text(fields, "description", "")}, principal)
        return _shown(deps, key, number)


def _tags(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", MODEL))

    @router.post("/set-tag")
    def set_tag(workspace: WorkspaceName, fields: Fields, principal: Principal = updater) -> Json:
        tags = {check_key(fields.get("key"), "key"): text(fields, "value", "")}
        _tag(deps, model_in(workspace, fields), version_number(fields), _own_refused(tags), principal)
        return {}

    @router.delete("/delete-tag")
    def delete_tag(workspace: WorkspaceName, fields: Fields, principal: Principal = updater) -> Json:
        tags = {check_key(fields.get("key"), "key"): None}
        _tag(deps, model_in(workspace, fields), version_number(fields), tags, principal)
        return {}


def _end(router: APIRouter, deps: Deps) -> None:
    retirer, updater = Depends(allow("retire", MODEL)), Depends(allow("update", MODEL))

    @router.delete("/delete")
    def delete(workspace: WorkspaceName, fields: Fields, principal: Principal = retirer) -> Json:
        """Retire the version: its files and its history stay."""
        key, number = model_in(workspace, fields), version_number(fields)
        decide(deps, key, number, Signal.RETIRED, actor=principal.identity, reason=f"deleted {REASON}")
        return {}

    @router.post("/transition-stage")
    def transition(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        detail = "stages of MLflow are not served; approve and deploy the version, or set an alias"
        raise Problem(501, "not_served", detail)


def _tag(deps: Deps, key: ResourceKey, number: int, tags: Mapping[str, str | None], by: Principal) -> None:
    """Set tags; None removes one."""
    known = _version(deps, key, number).tags
    kept = {name: value for name, value in {**known, **tags}.items() if value is not None}
    label_version(deps, key, number, semver=None, tags=kept, origin=origin_of(deps, by.identity, REASON))


def _own_refused(tags: dict[str, str]) -> dict[str, str]:
    for name in tags:
        if name.startswith(OWN):
            raise Invalid(f"key: {name!r}: tags that begin with {OWN} are the registry's own", field="key")
    return tags


def _version(deps: Deps, key: ResourceKey, number: int) -> Version:
    with deps.storage.read() as records:
        return records.versions.get(records.resources.get(key), number)


def _shown(deps: Deps, key: ResourceKey, number: int) -> Json:
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        held = records.aliases.of_many([resource])[resource.id]
        return {"model_version": model_version(key, records.versions.get(resource, number), held)}
