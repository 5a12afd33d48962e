"""`/experiments`."""

from typing import Final

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
from modelyard_registry.api.mlflow.views import experiment
from modelyard_registry.domain.conditions import parse_filter, parse_order
from modelyard_registry.domain.errors import ExperimentNotFound
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.tracking import DEFAULT_EXPERIMENT, Lifecycle, check_key
from modelyard_registry.usecases import experiments as use
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import allow

KIND: Final = "experiment"
VIEWS: Final = {
    "ACTIVE_ONLY": (Lifecycle.ACTIVE,),
    "DELETED_ONLY": (Lifecycle.DELETED,),
    "ALL": tuple(Lifecycle),
    "1": (Lifecycle.ACTIVE,),
    "2": (Lifecycle.DELETED,),
    "3": tuple(Lifecycle),
}


def lifecycles(fields: Json, name: str) -> tuple[Lifecycle, ...]:
    """Which of active and deleted things a search returns."""
    found = VIEWS.get(str(fields.get(name) or "ACTIVE_ONLY"))
    if found is None:
        raise Invalid(f"{name}: use ACTIVE_ONLY, DELETED_ONLY or ALL", field=name)
    return found


def routes(deps: Deps) -> APIRouter:
    """Creation, reads, searches and changes."""
    router = APIRouter(prefix="/experiments")
    _read(router, deps)
    _write(router, deps)
    _tags(router, deps)
    return router


def _read(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", KIND))

    @router.get("/get")
    def get(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        return {"experiment": experiment(use.find_experiment(deps, workspace, text(fields, "experiment_id")))}

    @router.get("/get-by-name")
    def get_by_name(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        name = text(fields, "experiment_name")
        if name == DEFAULT_EXPERIMENT:
            return {"experiment": experiment(use.default_experiment(deps, workspace))}
        with deps.storage.read() as records:
            found = records.experiments.named(workspace, name)
        if found is None:
            raise ExperimentNotFound(name, workspace)
        return {"experiment": experiment(found)}

    @router.post("/search")
    @router.get("/search")
    def search(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        where = parse_filter(text(fields, "filter", ""))
        order = [parse_order(one) for one in texts(fields, "order_by")]
        with deps.storage.read() as records:
            found, token = records.experiments.page(
                (workspace,),
                where,
                order,
                lifecycles(fields, "view_type"),
                text(fields, "page_token", ""),
                page_size(fields),
            )
        return paged("experiments", [experiment(one) for one in found], token)


def _write(router: APIRouter, deps: Deps) -> None:
    creator, updater = Depends(allow("create", KIND)), Depends(allow("update", KIND))

    @router.post("/create")
    def create(workspace: WorkspaceName, fields: Fields, principal: Principal = creator) -> Json:
        if fields.get("artifact_location"):
            raise Invalid(
                "artifact_location: artifacts lie in the registry's own store; leave it out", field="artifact_location"
            )
        made = use.create_experiment(deps, workspace, text(fields, "name"), pairs(fields, "tags"), principal.identity)
        return {"experiment_id": str(made.id)}

    @router.post("/update")
    def update(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.change_experiment(deps, workspace, text(fields, "experiment_id"), name=text(fields, "new_name"))
        return {}

    @router.post("/delete")
    def delete(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.change_experiment(deps, workspace, text(fields, "experiment_id"), lifecycle=Lifecycle.DELETED)
        return {}

    @router.post("/restore")
    def restore(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.change_experiment(deps, workspace, text(fields, "experiment_id"), lifecycle=Lifecycle.ACTIVE)
        return {}


def _tags(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", KIND))

    @router.post("/set-experiment-tag")
    def set_tag(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        key = check_key(fields.get("key"), "key")
        use.tag_experiment(deps, workspace, text(fields, "experiment_id"), {key: text(fields, "value", "")})
        return {}

    @router.post("/delete-experiment-tag")
    def delete_tag(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        key = check_key(fields.get("key"), "key")
        use.tag_experiment(deps, workspace, text(fields, "experiment_id"), {key: None})
        return {}
