"""All routes at `/mlflow/{workspace}`, and a clear refusal of every other path there."""

from typing import Final

from fastapi import APIRouter, Depends, FastAPI

from modelyard_contracts.sentences import plain
from modelyard_registry.api.mlflow import artifacts, experiments, logged_models, model_versions, registered_models, runs
from modelyard_registry.api.mlflow.errors import MlflowErrors
from modelyard_registry.api.mlflow.fields import Json
from modelyard_registry.domain.ports import Deps
from modelyard_runtime.access import Principal
from modelyard_runtime.http import Problem, allow

API: Final = "/api/2.0"
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def install(app: FastAPI, deps: Deps) -> None:
    """Add the routes and MLflow's form of errors. MLflow's own pages describe the API, so OpenAPI leaves it out."""
    root = APIRouter(prefix="/mlflow/{workspace}", include_in_schema=False)
    for part in (experiments, runs, logged_models, registered_models, model_versions):
        root.include_router(part.routes(deps), prefix=f"{API}/mlflow")
    root.include_router(artifacts.run_routes(deps), prefix=f"{API}/mlflow")
    root.include_router(artifacts.routes(deps), prefix=API)
    _refuse_others(root)
    app.include_router(root)
    app.add_middleware(MlflowErrors)


def _refuse_others(root: APIRouter) -> None:
    reader = Depends(allow("read", experiments.KIND))

    @root.api_route("/{rest:path}", methods=METHODS)
    def refuse(workspace: str, rest: str, _: Principal = reader) -> Json:
        if workspace in ("api", "ajax-api"):
            raise Problem(404, "not_found", "put the workspace into MLFLOW_TRACKING_URI: .../mlflow/default")
        what = plain(rest.removeprefix("api/2.0/mlflow/").removeprefix("api/3.0/mlflow/"))
        raise Problem(501, "not_served", f"{what} of MLflow is not served here; docs/guides/mlflow.md has the list")
