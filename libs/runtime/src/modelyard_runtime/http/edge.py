"""The outermost layer of every control API."""

import logging
import time
from collections.abc import Mapping
from typing import Final
from uuid import UUID, uuid4

from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard_runtime.access import Authenticator
from modelyard_runtime.errors import Unavailable
from modelyard_runtime.http.body import BODY_PAUSE_S, Encoded, Limits, TooLarge, TooSlow, counted_body, require_plain
from modelyard_runtime.http.problems import code_of, problem
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.tracing import CORRELATION_HEADER, TRACEPARENT, correlated, current_traceparent, span

OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready"})
"""Paths of every service that need no key."""
log = logging.getLogger(__name__)
access = logging.getLogger("modelyard.access")


class Edge:
    """The outermost layer: correlation id, trace, token, the body's limits, access log, metrics."""

    body_pause_s = BODY_PAUSE_S

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self.authenticator = authenticator
        self._limits = limits
        self._seconds = metrics.histogram("http_request_seconds", "Time to answer", ("method", "route", "status"))

    @classmethod
    def is_open(cls, path: str) -> bool:
        """Whether a path needs no key."""
        return path in OPEN_PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no service uses WebSocket here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scope["modelyard.authorizations"] = sum(name == b"authorization" for name, _ in scope["headers"])
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
                added = [(CORRELATION_HEADER.encode(), str(correlation).encode())]
                added += [(TRACEPARENT.encode(), parent.encode())] if (parent := current_traceparent()) else []
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            await self._guarded(scope, receive, sending, headers)
        except (TooLarge, TooSlow, Encoded) as error:
            if not started:
                status_ = error.status_code
                await problem(status_, code_of(status_), error.detail, headers=error.headers)(scope, receive, sending)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if not started:
                detail = f"internal error; the log entry has correlation_id {correlation}"
                await problem(500, "internal_error", detail)(scope, receive, sending)
        finally:
            self._record(scope, status, time.perf_counter() - began)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        if not self.is_open(scope["path"]):
            refusal = await self.refusal(scope, headers)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        require_plain(headers.get("content-encoding"))
        limit = self._limits.of(scope["path"])
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise TooLarge(limit)
        await self._app(scope, counted_body(receive, limit, self.body_pause_s), send)

    async def refusal(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        """Return the refusal of a request, or None after its principal was added to the scope."""
        if scope["modelyard.authorizations"] > 1:
            return problem(400, "duplicate_authorization", "two Authorization headers were sent; send one")
        try:
            principal = await self.authenticator.authenticate_header(headers.get("authorization"))
        except Unavailable as error:
            return problem(503, error.code, str(error), headers={"Retry-After": "1"})
        if principal is None:
            given = "authorization" in headers
            detail = "this key is unknown, expired or revoked" if given else "send Authorization: Bearer <API key>"
            return problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
        scope["modelyard.principal"] = principal
        return None

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._seconds.labels(scope["method"], route, str(status)).observe(seconds)
        if not self.is_open(scope["path"]):
            principal = scope.get("modelyard.principal")
            identity = principal.identity if principal else "-"
            access.info("%s %s %d %.1f ms %s", scope["method"], scope["path"], status, seconds * 1000, identity)


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        return uuid4()
