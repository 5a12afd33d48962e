"""An app of which every route but health needs a key, with the routes that every service has."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from modelyard_runtime.access import Authenticator, Principal
from modelyard_runtime.errors import Forbidden, Unavailable
from modelyard_runtime.health import Readiness
from modelyard_runtime.http.access import allow, needs_of
from modelyard_runtime.http.body import Limits
from modelyard_runtime.http.edge import Edge
from modelyard_runtime.http.openapi import describe
from modelyard_runtime.http.problems import add_error_answers
from modelyard_runtime.metrics import CONTENT_TYPE, Metrics

MAX_REQUEST_BYTES: Final = 8 * 1_048_576


class Resumable(Protocol):
    """A consumer, as an operator sees it."""

    group: str

    def resume(self) -> int: ...

    def stopped_partitions(self) -> dict[tuple[str, int], str]: ...


def create_app(
    *,
    service: str,
    authenticator: Authenticator,
    readiness: Readiness,
    metrics: Metrics | None = None,
    consumers: Sequence[Resumable] = (),
    max_request_bytes: int = MAX_REQUEST_BYTES,
    large_paths: Mapping[str, int] | None = None,
    edge: type[Edge] = Edge,
    **options: Any,
) -> FastAPI:
    """Create an app: every route but health needs a key, and declares its action by `Depends(allow(...))`.

    large_paths: {path prefix: bytes} where uploads may be larger. edge: the outermost layer; a subclass may take keys
    from elsewhere and open more paths. options: FastAPI's own.
    """
    app = FastAPI(
        title=f"modelyard {service}",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(_denied_by_default(edge))],
        **options,
    )
    app.state.readiness = readiness
    _own_routes(app, metrics or Metrics(service), consumers)
    _add_health(app, service, readiness, authenticator)
    add_error_answers(app)
    describe(app)
    limits = Limits(max_request_bytes, dict(large_paths or {}))
    app.add_middleware(edge, authenticator=authenticator, limits=limits, metrics=metrics or Metrics(service))
    return app


def caller(request: Request) -> Principal:
    """The principal of a request; every request after the edge has one."""
    principal: Principal = request.scope["modelyard.principal"]
    return principal


def _denied_by_default(edge: type[Edge]) -> Callable[[Request], Coroutine[Any, Any, None]]:
    async def denied(request: Request) -> None:
        """Refuse an endpoint that declares no action: a forgotten declaration must not open it."""
        dependant = getattr(request.scope.get("route"), "dependant", None)
        if not edge.is_open(request.url.path) and not any(needs_of(dependant)):
            raise Forbidden("this endpoint declares no action; see modelyard_runtime.http.allow")

    return denied


Observer = Annotated[Principal, Depends(allow("read", "service", over="all-workspaces"))]
Operator = Annotated[Principal, Depends(allow("update", "service", over="all-workspaces"))]


def _add_health(app: FastAPI, service: str, readiness: Readiness, authenticator: Authenticator) -> None:
    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready(request: Request) -> JSONResponse:
        """Which checks are good; the release and why a check is not good, for callers with a key only."""
        known = await _has_key(request, authenticator)
        report = readiness.as_dict(details=known) | ({"version": release_of(service)} if known else {})
        return JSONResponse(report, 200 if report["ready"] else 503)


def release_of(service: str) -> str:
    """The installed release of a service; empty when it runs from no package, as in tests."""
    try:
        return version(f"modelyard-{service}")
    except PackageNotFoundError:
        return ""


async def _has_key(request: Request, authenticator: Authenticator) -> bool:
    """Whether a request to a path that needs no key has a valid one."""
    header = request.headers.get("authorization")
    if header is None or request.scope["modelyard.authorizations"] > 1:
        return False
    try:
        return await authenticator.authenticate_header(header) is not None
    except Unavailable:
        return False


def _own_routes(app: FastAPI, metrics: Metrics, consumers: Sequence[Resumable]) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def show_metrics(_: Observer) -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    @app.get("/internal/consumers", include_in_schema=False)
    async def show_consumers(_: Observer) -> list[dict[str, object]]:
        return [
            {"group": one.group, "stopped": {f"{t}[{p}]": why for (t, p), why in one.stopped_partitions().items()}}
            for one in consumers
        ]

    @app.post("/internal/consumers/resume", include_in_schema=False)
    async def resume(_: Operator) -> dict[str, int]:
        return {"resumed": sum(one.resume() for one in consumers)}
