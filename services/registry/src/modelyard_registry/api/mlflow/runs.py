"""`/runs` and `/metrics`."""

from typing import Final

from fastapi import APIRouter, Depends

from modelyard_registry.api.fields import read_point_cursor, written_point_cursor
from modelyard_registry.api.mlflow import views
from modelyard_registry.api.mlflow.experiments import KIND, lifecycles
from modelyard_registry.api.mlflow.fields import (
    Fields,
    Json,
    WorkspaceName,
    integer,
    items,
    number,
    page_size,
    paged,
    pairs,
    run_id,
    text,
    texts,
)
from modelyard_registry.domain.conditions import parse_filter, parse_order
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.tracking import DEFAULT_ID, Lifecycle, Point, RunStatus, check_key, check_value
from modelyard_registry.usecases import runs as use
from modelyard_registry.usecases.experiments import find_experiment
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import allow

NUMERIC: Final = frozenset({"start_time", "end_time", "created", "Created"})
STATUSES: Final = {str(number): status for number, status in enumerate(RunStatus, 1)} | {
    one.value: one for one in RunStatus
}
MAX_HISTORY: Final = 25_000


def routes(deps: Deps) -> APIRouter:
    """Runs and what they hold."""
    router = APIRouter()
    for add in (_life, _values, _tags, _links, _reads):
        add(router, deps)
    return router


def _life(router: APIRouter, deps: Deps) -> None:
    creator, updater = Depends(allow("create", KIND)), Depends(allow("update", KIND))

    @router.post("/runs/create")
    def create(workspace: WorkspaceName, fields: Fields, principal: Principal = creator) -> Json:
        made = use.create_run(
            deps,
            workspace,
            text(fields, "experiment_id", DEFAULT_ID),
            name=text(fields, "run_name", ""),
            user_id=text(fields, "user_id", principal.identity),
            start_ms=integer(fields, "start_time", least=0),
            tags=pairs(fields, "tags"),
            actor=principal.identity,
        )
        return _shown(deps, workspace, made.id)

    @router.post("/runs/update")
    def update(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        changed = use.update_run(
            deps,
            workspace,
            run_id(fields),
            status=_status(fields),
            end_ms=integer(fields, "end_time", least=0),
            name=text(fields, "run_name", "") or None,
        )
        return {"run_info": views.run_info(changed)}

    @router.post("/runs/delete")
    def delete(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.set_lifecycle(deps, workspace, run_id(fields), Lifecycle.DELETED)
        return {}

    @router.post("/runs/restore")
    def restore(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.set_lifecycle(deps, workspace, run_id(fields), Lifecycle.ACTIVE)
        return {}


def _values(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", KIND))

    @router.post("/runs/log-metric")
    def log_metric(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.log(deps, workspace, run_id(fields), points=[_point(deps, fields)])
        return {}

    @router.post("/runs/log-parameter")
    def log_param(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        key, value = check_key(fields.get("key"), "key"), check_value(fields.get("value", ""), "value")
        use.log(deps, workspace, run_id(fields), params={key: value})
        return {}

    @router.post("/runs/log-batch")
    def log_batch(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        points = [_point(deps, one) for one in items(fields, "metrics")]
        params, tags = pairs(fields, "params"), pairs(fields, "tags")
        use.log(deps, workspace, run_id(fields), points=points, params=params, tags=tags)
        return {}


def _tags(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", KIND))

    @router.post("/runs/set-tag")
    def set_tag(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        key, value = check_key(fields.get("key"), "key"), check_value(fields.get("value", ""), "value")
        use.log(deps, workspace, run_id(fields), tags={key: value})
        return {}

    @router.post("/runs/delete-tag")
    def delete_tag(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.drop_tag(deps, workspace, run_id(fields), text(fields, "key"))
        return {}


def _links(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", KIND))

    @router.post("/runs/log-inputs")
    def log_inputs(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        links = {"dataset_inputs": items(fields, "datasets"), "model_inputs": items(fields, "models")}
        use.link_inputs(deps, workspace, run_id(fields), links)
        return {}

    @router.post("/runs/outputs")
    def log_outputs(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        use.link_outputs(deps, workspace, run_id(fields), {"model_outputs": items(fields, "models")})
        return {}

    @router.post("/runs/log-model")
    def log_model(workspace: WorkspaceName, fields: Fields, _: Principal = updater) -> Json:
        """Clients before MLflow 3 keep the list of logged models in a tag."""
        use.log(deps, workspace, run_id(fields), tags={"mlflow.log-model.history": f"[{text(fields, 'model_json')}]"})
        return {}


def _reads(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", KIND))

    @router.get("/runs/get")
    def get(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        return _shown(deps, workspace, run_id(fields))

    @router.post("/runs/search")
    def search(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        ids = [find_experiment(deps, workspace, one).id for one in texts(fields, "experiment_ids")]
        with deps.storage.read() as records:
            found = records.runs.search(
                workspace,
                ids,
                parse_filter(text(fields, "filter", ""), NUMERIC),
                [parse_order(one) for one in texts(fields, "order_by")],
                lifecycles(fields, "run_view_type"),
                text(fields, "page_token", ""),
                page_size(fields),
            )
            data = records.runs.data([one.id for one in found.runs])
        return paged("runs", [views.run(one, data[one.id]) for one in found.runs], found.next_token)

    @router.get("/metrics/get-history")
    def history(workspace: WorkspaceName, fields: Fields, _: Principal = reader) -> Json:
        id_, key = run_id(fields), text(fields, "metric_key")
        after, limit = read_point_cursor(text(fields, "page_token", "")), _history_size(fields)
        with deps.storage.read() as records:
            use.run_in(records, workspace, id_)
            found = records.runs.points(id_, key, after, limit + 1)
        token = written_point_cursor(found[limit - 1]) if len(found) > limit else None
        return paged("metrics", [views.point(one) for one in found[:limit]], token)


def _history_size(fields: Json) -> int:
    return min(integer(fields, "max_results", MAX_HISTORY, least=1) or MAX_HISTORY, MAX_HISTORY)


def _shown(deps: Deps, workspace: str, run_id: str) -> Json:
    with deps.storage.read() as records:
        found = use.run_in(records, workspace, run_id)
        return {"run": views.run(found, records.runs.data([run_id])[run_id])}


def _status(fields: Json) -> RunStatus | None:
    value = fields.get("status")
    if value is None:
        return None
    found = STATUSES.get(str(value))
    if found is None:
        raise Invalid(f"status: use one of {', '.join(RunStatus)}", field="status")
    return found


def _point(deps: Deps, fields: Json) -> Point:
    at = integer(fields, "timestamp", least=0)
    return Point(
        key=check_key(fields.get("key"), "key"),
        number=number(fields, "value"),
        step=integer(fields, "step", 0) or 0,
        timestamp_ms=use.now_ms(deps) if at is None else at,
        model_id=text(fields, "model_id", "") or None,
        dataset_name=text(fields, "dataset_name", "") or None,
        dataset_digest=text(fields, "dataset_digest", "") or None,
    )
