"""The typed control API, on FastAPI: everything that is asked seldom, with OpenAPI.

The data endpoints are declared here too, so that the document describes them and their access is checked like any
other's; in a running router asgi.py answers them before they reach FastAPI.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from modelyard_router.api import models, views
from modelyard_router.plan.route import Route
from modelyard_router.spool.shipper import Shipper
from modelyard_router.spool.spool import Spool
from modelyard_router.store.route_tables import RouteTables
from modelyard_runtime.access import Authenticator, Principal
from modelyard_runtime.errors import NotFound
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import allow, create_app, visible
from modelyard_runtime.metrics import Metrics

Lister = Annotated[Principal, Depends(allow("read", "route", over="any-workspace"))]
Reader = Annotated[Principal, Depends(allow("read", "route"))]
Explainer = Annotated[Principal, Depends(allow("explain", "route"))]
Caller = Annotated[Principal, Depends(allow("predict", "route"))]
Labeller = Annotated[Principal, Depends(allow("feedback", "prediction", over="any-workspace"))]
Observer = Annotated[Principal, Depends(allow("read", "service", over="all-workspaces"))]
ModelReader = Annotated[Principal, Depends(allow("read", "route"))]
EVENTS: Final = {"text/event-stream": {"schema": {"type": "string"}}}


@dataclass(frozen=True)
class Parts:
    """The state that the control API shows."""

    tables: RouteTables
    spool: Spool
    shipper: Shipper
    readiness: Readiness
    metrics: Metrics
    router_id: str


def build_control(parts: Parts, authenticator: Authenticator, data: ASGIApp, max_request_bytes: int) -> FastAPI:
    """data: the application that answers the data endpoints."""
    app = create_app(
        service="router",
        authenticator=authenticator,
        readiness=parts.readiness,
        metrics=parts.metrics,
        max_request_bytes=max_request_bytes,
    )
    _add_routes(app, parts)
    _add_protocol(app, parts)
    _add_data(app, data)
    return app


def _add_routes(app: FastAPI, parts: Parts) -> None:
    @app.get("/v1/routes")
    async def list_routes(principal: Lister) -> models.RoutesView:
        """All applied routes, and published tables that this router cannot use."""
        return views.routes_view(parts.router_id, parts.tables, visible(principal, "read", "route"))

    @app.get("/v1/routes/{route}")
    async def show_route(route: str, _: Reader) -> models.RouteView:
        return views.route_view(_route(parts.tables.routes.get(route), route, parts.tables))

    @app.post("/v1/routes/{route}/explain")
    async def explain_route(route: str, body: models.ExplainRequest, _: Explainer) -> models.ExplainAnswer:
        """The plan's choice for given facts. No version is called and nothing is logged."""
        return views.explain(_route(parts.tables.routes.get(route), route, parts.tables), body)

    @app.get("/v1/spool")
    async def show_spool(_: Observer) -> models.SpoolView:
        """The log of predictions on disk, and how far it is in Kafka."""
        return views.spool_view(parts.spool, parts.shipper)


def _add_protocol(app: FastAPI, parts: Parts) -> None:
    @app.get("/v2")
    async def server_metadata(_: Lister) -> models.ServerMetadata:
        return models.ServerMetadata(extensions=["generate"])

    @app.get("/v2/models/{model}")
    async def model_metadata(model: str, _: ModelReader) -> models.ModelMetadata:
        return views.metadata_view(model, _route(parts.tables.by_name.get(model), model, parts.tables))

    @app.get("/v2/models/{model}/ready")
    async def model_ready(model: str, _: ModelReader) -> models.Ready:
        _route(parts.tables.by_name.get(model), model, parts.tables)
        return models.Ready()


def _route(found: Route | None, name: str, tables: RouteTables) -> Route:
    if found is None:
        raise NotFound(unknown_route(name, tables))
    return found


def unknown_route(name: str, tables: RouteTables) -> str:
    """The text of an error about a route that is not applied."""
    refused = tables.refused.get(name)
    if refused is not None:
        return f"route {name[:200]!r} is published but cannot be used: {refused.reason}"
    known = ", ".join(sorted(tables.routes)[:20]) or "none yet"
    return f"no route {name[:200]!r} (known: {known}); deploy a model to it, or correct the name"


class _Forwarded(Response):
    """Hands a request on to the data application."""

    def __init__(self, data: ASGIApp) -> None:
        super().__init__()
        self._data = data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._data(scope, receive, send)


def _add_data(app: FastAPI, data: ASGIApp) -> None:
    @app.post("/v1/predict/{route}", response_model=models.PredictAnswer, openapi_extra=_body(models.PredictRequest))
    async def predict(route: str, _: Caller) -> Response:
        """One row: the version that the route's plan chooses answers it."""
        return _Forwarded(data)

    @app.post(
        "/v1/feedback",
        status_code=202,
        response_model=models.Accepted,
        openapi_extra=_body(models.Label, models.Labels),
    )
    async def feedback(_: Labeller) -> Response:
        """Labels for earlier predictions; 202 once they are on disk."""
        return _Forwarded(data)

    @app.post(
        "/v1/generate/{route}",
        response_model=models.GenerateReply,
        openapi_extra=_body(models.GenerateBody),
        responses={200: {"content": EVENTS}},
    )
    async def generate(route: str, _: Caller) -> Response:
        """Text, whole or as server-sent events."""
        return _Forwarded(data)

    @app.post("/v2/models/{model}/infer", response_model=models.InferAnswer, openapi_extra=_body(models.InferBody))
    async def infer(model: str, _: Caller) -> Response:
        """Many rows; request and response bodies are forwarded unchanged."""
        return _Forwarded(data)

    @app.post(
        "/v2/models/{model}/versions/{version}/infer",
        response_model=models.InferAnswer,
        openapi_extra=_body(models.InferBody),
    )
    async def infer_version(model: str, version: str, _: Caller) -> Response:
        """The same for one version of the route."""
        return _Forwarded(data)


def _body(*kinds: type[models.Body] | type[models.InferBody]) -> dict[str, Any]:
    """The request body of an endpoint that reads it itself."""
    schemas = [_inlined(kind.model_json_schema()) for kind in kinds]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema without references."""
    definitions = schema.pop("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return resolve(definitions[value["$ref"].rpartition("/")[2]])
            return {key: resolve(inner) for key, inner in value.items()}
        return [resolve(inner) for inner in value] if isinstance(value, list) else value

    resolved: dict[str, Any] = resolve(schema)
    return resolved
