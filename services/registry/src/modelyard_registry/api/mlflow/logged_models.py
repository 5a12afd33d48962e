"""`/logged-models`."""

from fastapi import APIRouter, Depends

from modelyard_registry.api.mlflow import views
from modelyard_registry.api.mlflow.experiments import KIND
from modelyard_registry.api.mlflow.fields import (
    Fields,
    Json,
    WorkspaceName,
    items,
    page_size,
    paged,
    pairs,
    text,
    texts,
)
from modelyard_registry.domain.conditions import Order, parse_filter, parse_order
from modelyard_registry.domain.errors import LoggedModelNotFound
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.tracking import Lifecycle, LoggedModel
from modelyard_registry.usecases import logged_models as use
from modelyard_registry.usecases.experiments import find_experiment
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import allow


def routes(deps: Deps) -> APIRouter:
    """Creation, searches and changes."""
    router = APIRouter(prefix="/logged-models")
    _read(router, deps)
    _write(router, deps)
    _change(router, deps)
    return router


def _read(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", KIND))

    @router.post("/search")
    def search(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        if items(fields, "datasets"):
            raise Invalid("datasets: metrics cannot be filtered by dataset; leave it out", field="datasets")
        ids = [find_experiment(deps, workspace, one).id for one in texts(fields, "experiment_ids")]
        where, order = parse_filter(text(fields, "filter", "")), [_order(one) for one in items(fields, "order_by")]
        with deps.storage.read() as records:
            found, token = records.logged_models.search(
                workspace, ids, where, order, text(fields, "page_token", ""), page_size(fields, 100)
            )
            points = records.runs.points_of_model([one.id for one in found])
        return paged("models", [views.logged_model(one, points.get(one.id, ())) for one in found], token)

    @router.get("/{model_id}")
    def get(workspace: WorkspaceName, model_id: str, fields: Fields, _: Principal = reader) -> Json:
        with deps.storage.read() as records:
            found = use.logged_model_in(records, workspace, model_id)
        if found.lifecycle is Lifecycle.DELETED and str(fields.get("allow_deleted", "")).lower() != "true":
            raise LoggedModelNotFound(model_id, workspace)
        return _shown(deps, found)


def _write(router: APIRouter, deps: Deps) -> None:
    creator = Depends(allow("create", KIND))

    @router.post("")
    def create(workspace: WorkspaceName, fields: Fields, principal: Principal = creator) -> Json:
        made = use.create_logged_model(
            deps,
            workspace,
            text(fields, "experiment_id"),
            name=text(fields, "name", ""),
            model_type=text(fields, "model_type", ""),
            source_run_id=text(fields, "source_run_id", "") or None,
            tags=pairs(fields, "tags"),
            params=pairs(fields, "params"),
            actor=principal.identity,
        )
        return _shown(deps, made)


def _change(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", KIND))

    @router.patch("/{model_id}")
    def finalize(workspace: WorkspaceName, model_id: str, fields: Fields, _: Principal = updater) -> Json:
        status = text(fields, "status")
        if status not in use.STATUSES:
            raise Invalid(f"status: use one of {', '.join(use.STATUSES)}", field="status")
        return _shown(deps, use.change_logged_model(deps, workspace, model_id, status=status))

    @router.delete("/{model_id}")
    def delete(workspace: WorkspaceName, model_id: str, _: Principal = updater) -> Json:
        use.change_logged_model(deps, workspace, model_id, lifecycle=Lifecycle.DELETED)
        return {}

    @router.post("/{model_id}/params")
    def add_params(workspace: WorkspaceName, model_id: str, fields: Fields, _: Principal = updater) -> Json:
        use.change_logged_model(deps, workspace, model_id, params=pairs(fields, "params"))
        return {}

    @router.patch("/{model_id}/tags")
    def set_tags(workspace: WorkspaceName, model_id: str, fields: Fields, _: Principal = updater) -> Json:
        return _shown(deps, use.change_logged_model(deps, workspace, model_id, tags=pairs(fields, "tags")))

    @router.delete("/{model_id}/tags/{key:path}")
    def delete_tag(workspace: WorkspaceName, model_id: str, key: str, _: Principal = updater) -> Json:
        use.change_logged_model(deps, workspace, model_id, tags={key: None})
        return {}


def _order(fields: Json) -> Order:
    found = parse_order(text(fields, "field_name"))
    if found.kind == "metric":
        raise Invalid("order_by: logged models are not ordered by metrics; order the runs instead", field="order_by")
    return Order(found.kind, found.key, fields.get("ascending") is False)


def _shown(deps: Deps, found: LoggedModel) -> Json:
    with deps.storage.read() as records:
        points = records.runs.points_of_model([found.id])
    return {"model": views.logged_model(found, points.get(found.id, ()))}
