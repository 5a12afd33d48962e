"""The control APIs: FastAPI with health, metrics, problem+json, tracing, size limit, and no open endpoint."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Protocol
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard_runtime.auth import SCOPES, Authenticator, Principal
from modelyard_runtime.errors import Conflict, Forbidden, Invalid, ModelyardError, NotFound, Unavailable, retryable
from modelyard_runtime.health import Readiness
from modelyard_runtime.metrics import CONTENT_TYPE, Metrics
from modelyard_runtime.tracing import CORRELATION_HEADER, TRACEPARENT, correlated, current_traceparent, span

PROBLEM_JSON: Final = "application/problem+json"
MAX_REQUEST_BYTES: Final = 8 * 1_048_576
BODY_PAUSE_S: Final = 30.0
"""How long a caller may send nothing in the middle of a body."""
OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready"})
"""All that may be asked without a token."""
log = logging.getLogger(__name__)
access = logging.getLogger("modelyard.access")


class Resumable(Protocol):
    """A consumer, as far as an operator is concerned."""

    group: str

    def resume(self) -> int: ...

    def stopped_partitions(self) -> dict[tuple[str, int], str]: ...


class Problem(Exception):
    """An answer that is an error (RFC 9457); for what has no error type of its own."""

    def __init__(self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, dict(headers or {})


def create_app(
    *,
    service: str,
    authenticator: Authenticator,
    readiness: Readiness,
    metrics: Metrics | None = None,
    consumers: Sequence[Resumable] = (),
    max_request_bytes: int = MAX_REQUEST_BYTES,
    large_paths: Mapping[str, int] | None = None,
    **options: Any,
) -> FastAPI:
    """An app whose every route but health needs a token.

    A route says its scope by `Depends(require("..."))`; one that says nothing needs `read` for GET and HEAD and `write`
    for the rest. large_paths: {path prefix: bytes} where uploads may be larger. options: FastAPI's own.
    """
    app = FastAPI(
        title=f"modelyard {service}",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(_scope_by_default)],
        **options,
    )
    app.state.readiness = readiness
    _own_routes(app, readiness, metrics or Metrics(service), consumers)
    _error_answers(app)
    limits = _Limits(max_request_bytes, dict(large_paths or {}))
    app.add_middleware(Edge, authenticator=authenticator, limits=limits, metrics=metrics or Metrics(service))
    return app


def require(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """A FastAPI dependency: the caller, who must have `scope`; otherwise 403 with the reason."""
    if scope not in SCOPES:
        raise ValueError(f"no scope {scope!r}; there are {sorted(SCOPES)}")

    async def dependency(request: Request) -> Principal:
        return _allowed(request, scope)

    dependency.modelyard_scope = scope  # type: ignore[attr-defined]  # how the default finds that a route has its own
    return dependency


def caller(request: Request) -> Principal:
    """Who sent this request; every request past the edge has one."""
    principal: Principal = request.scope["modelyard.principal"]
    return principal


def _allowed(request: Request, scope: str) -> Principal:
    principal = caller(request)
    if not principal.may(scope):
        raise Problem(403, "forbidden", f"{principal.name} has no scope {scope!r}; ask an admin for a key with it")
    return principal


async def _scope_by_default(request: Request) -> None:
    route = request.scope.get("route")
    if request.url.path in OPEN_PATHS or _has_scope(getattr(route, "dependant", None)):
        return
    _allowed(request, "read" if request.method in {"GET", "HEAD"} else "write")


def _has_scope(dependant: Any) -> bool:
    if dependant is None:
        return False
    return hasattr(dependant.call, "modelyard_scope") or any(_has_scope(inner) for inner in dependant.dependencies)


def _own_routes(app: FastAPI, readiness: Readiness, metrics: Metrics, consumers: Sequence[Resumable]) -> None:
    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        told = readiness.as_dict()
        return JSONResponse(told, 200 if told["ready"] else 503)

    @app.get("/metrics", include_in_schema=False)
    async def show_metrics(_: Annotated[Principal, Depends(require("read"))]) -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    @app.get("/internal/consumers", include_in_schema=False)
    async def show_consumers(_: Annotated[Principal, Depends(require("read"))]) -> list[dict[str, object]]:
        return [
            {"group": one.group, "stopped": {f"{t}[{p}]": why for (t, p), why in one.stopped_partitions().items()}}
            for one in consumers
        ]

    @app.post("/internal/consumers/resume", include_in_schema=False)
    async def resume(_: Annotated[Principal, Depends(require("admin"))]) -> dict[str, int]:
        return {"resumed": sum(one.resume() for one in consumers)}


# -- errors ------------------------------------------------------------------------------------------------------------

STATUS: Final[Mapping[type[ModelyardError], int]] = {
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    Forbidden: 403,
    Unavailable: 503,
}


def status_of(error: ModelyardError) -> int:
    """The HTTP number of one of our errors: its nearest base that has one; retryable ones 503, the others 500."""
    for base in type(error).__mro__:
        if base in STATUS:
            return STATUS[base]
    return 503 if retryable(error) else 500


def problem(
    status: int, code: str, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An RFC 9457 answer."""
    detail = detail.encode("utf-8", "replace").decode()  # it may tell what came, and that may be half a character
    body: dict[str, object] = {
        "type": f"urn:modelyard:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if field:
        body["field"] = field
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=PROBLEM_JSON)


def _code(status: int) -> str:
    return HTTPStatus(status).name.lower()


def _error_answers(app: FastAPI) -> None:
    @app.exception_handler(ModelyardError)
    async def _ours(_: Request, error: ModelyardError) -> JSONResponse:
        headers = {"Retry-After": "1"} if retryable(error) else {}
        return problem(status_of(error), error.code, str(error), field=error.field, headers=headers)

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> JSONResponse:
        return problem(error.status, error.code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        items = error.errors()
        first = items[0]
        where = [str(part) for part in first["loc"][1:]] or [str(part) for part in first["loc"]]
        more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
        return problem(422, "invalid", f"{'.'.join(where)}: {first['msg']}{more}", field=".".join(where))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, _code(error.status_code), str(error.detail), headers=error.headers)


# -- the edge ----------------------------------------------------------------------------------------------------------


class _Limits:
    def __init__(self, usual: int, large: dict[str, int]) -> None:
        self._usual, self._large = usual, large

    def of(self, path: str) -> int:
        return max((size for prefix, size in self._large.items() if path.startswith(prefix)), default=self._usual)


class _TooLarge(HTTPException):
    """Of this base, as FastAPI hides any other error that happens while it reads the body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body may hold {limit} bytes")


class Edge:
    """The outermost layer: correlation id, trace, token, the body's limits, access log, metrics."""

    body_pause_s = BODY_PAUSE_S

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limits: _Limits, metrics: Metrics) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limits = limits
        self._seconds = metrics.histogram("http_request_seconds", "Time to answer", ("method", "route", "status"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no service of ours speaks WebSocket here; closed is safer than forgotten
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        correlation = _uuid(headers.get(CORRELATION_HEADER))
        with span(f"{scope['method']} {scope['path']}", headers), correlated(correlation):
            await self._answer(scope, receive, send, headers, correlation)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str], correlation: UUID
    ) -> None:
        began, status, started = time.perf_counter(), 500, False

        async def sending(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                told = [(CORRELATION_HEADER.encode(), str(correlation).encode())]
                told += [(TRACEPARENT.encode(), parent.encode())] if (parent := current_traceparent()) else []
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        try:
            await self._guarded(scope, receive, sending, headers)
        except (_TooLarge, _TooSlow) as error:
            if not started:
                status_ = error.status_code
                await problem(status_, _code(status_), error.detail, headers=error.headers)(scope, receive, sending)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if not started:
                detail = f"an error of ours; its log has correlation_id {correlation}"
                await problem(500, "internal_error", detail)(scope, receive, sending)
        finally:
            self._told(scope, status, time.perf_counter() - began)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        if scope["path"] not in OPEN_PATHS:
            refusal = await self._refusal(scope, headers)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        limit = self._limits.of(scope["path"])
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _TooLarge(limit)
        await self._app(scope, _counted(receive, limit, self.body_pause_s), send)

    async def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> JSONResponse | None:
        """Why this request may not come in; None: it may, and the scope says who it is."""
        try:
            principal = await self._authenticator.authenticate_header(headers.get("authorization"))
        except Unavailable as error:
            return problem(503, error.code, str(error), headers={"Retry-After": "1"})
        if principal is None:
            given = "authorization" in headers
            detail = "this key is unknown, expired or revoked" if given else "send Authorization: Bearer <API key>"
            return problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
        scope["modelyard.principal"] = principal
        return None

    def _told(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._seconds.labels(scope["method"], route, str(status)).observe(seconds)
        if scope["path"] not in OPEN_PATHS:
            who = scope.get("modelyard.principal")
            access.info(
                "%s %s %d %.1f ms %s", scope["method"], scope["path"], status, seconds * 1000, who.name if who else "-"
            )


class _TooSlow(HTTPException):
    """The rest of the body will not be waited for, so the connection ends with the answer."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(408, f"nothing of the body came for {pause_s:g} s", {"Connection": "close"})


def _counted(receive: Receive, limit: int, pause_s: float) -> Receive:
    """The body, which may not grow past `limit` whatever its header said, nor pause for longer than `pause_s`."""
    seen, more = 0, True

    async def counted() -> Message:
        nonlocal seen, more
        if not more:  # whoever asks again waits for the caller to go away
            return await receive()
        try:
            async with asyncio.timeout(pause_s):
                message = await receive()
        except TimeoutError as error:
            raise _TooSlow(pause_s) from error
        more = message.get("more_body", False)
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _TooLarge(limit)
        return message

    return counted


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        return uuid4()
