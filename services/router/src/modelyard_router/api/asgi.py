"""The ordinary path: HTTP to use cases as a bare ASGI application."""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from modelyard_router.api.bodies import Receive, read_body, read_headers
from modelyard_router.api.problems import JSON, problem
from modelyard_router.clients.keys import Keys
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.errors import Busy, NotAllowed, NotFoundHere, RouterError, UnknownRoute, WrongMethod
from modelyard_router.domain.requests import Call, Reply
from modelyard_router.domain.routes import Route
from modelyard_router.store.route_tables import RouteTables
from modelyard_router.usecases.feedback import Feedback
from modelyard_router.usecases.predictions import Failed, Predictions
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.health import Readiness

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
View = Callable[[str], Reply | None]
"""Path of a GET -> reply, or None when no endpoint has this path."""

_FEEDBACK: Final = "/v1/feedback"
_INFER: Final = "/infer"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApiLimits:
    """Bounds on requests."""

    max_body_bytes: int = 1 << 20
    max_infer_body_bytes: int = 16 << 20
    max_in_flight: int = 1_024
    read_timeout_s: float = 10.0


@dataclass(frozen=True)
class Endpoints:
    """The use cases that the API calls."""

    predictions: Predictions
    feedback: Feedback
    view: View
    readiness: Readiness


class Api:
    """The ASGI application. `in_flight` is shared with the fast path."""

    def __init__(
        self, endpoints: Endpoints, tables: RouteTables, keys: Keys, counters: Counters, limits: ApiLimits
    ) -> None:
        self._endpoints, self._tables, self._keys = endpoints, tables, keys
        self._counters, self._limits = counters, limits
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = Call(time.perf_counter())
        self.in_flight += 1
        try:
            work = self._respond(scope, receive, call)
            status, headers, body = await self.reply_to(work, scope["method"], scope["path"])
        finally:
            self.in_flight -= 1
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def accepts(self, length: int) -> bool:
        """Whether one more prediction with a body of `length` bytes may start."""
        return self.in_flight < self._limits.max_in_flight and length <= self._limits.max_body_bytes

    async def reply_to(self, work: Awaitable[Reply], method: str, path: str) -> Reply:
        """The result of `work`; an error becomes a problem document."""
        try:
            return await work
        except Failed as failed:
            return problem(failed.error, path, failed.headers)
        except ModelyardError as error:
            self._counters.refuse(error.code)
            return problem(error, path, [])
        except Exception:
            log.exception("%s %s failed", method, path)
            self._counters.refuse("router_failed")
            return problem(RouterError("an internal error of the router; see its log"), path, [])

    async def _respond(self, scope: Scope, receive: Receive, call: Call) -> Reply:
        path: str = scope["path"]
        if scope["method"] != "POST":
            return await self._get(scope, path)
        if self.in_flight > self._limits.max_in_flight:
            raise Busy(f"{self._limits.max_in_flight} requests are in flight (ROUTER_MAX_IN_FLIGHT); try again")
        authorization, length = read_headers(scope["headers"], call)
        principal = self._keys.cached(authorization) or await self._keys.check(authorization)
        if not principal.may("predict"):
            raise NotAllowed(f"key {principal.name} lacks the scope predict; use one that has it")
        route = self._tables.by_predict_path.get(path)
        if route is not None:
            body = await self._body(receive, length, self._limits.max_body_bytes)
            return await self._endpoints.predictions.predict(route, body, call)
        return await self._other_post(path, receive, length, call)

    async def _other_post(self, path: str, receive: Receive, length: int, call: Call) -> Reply:
        if path == _FEEDBACK:
            body = await self._body(receive, length, self._limits.max_body_bytes)
            return await self._endpoints.feedback.accept(body, call)
        if path.startswith("/v2/models/") and path.endswith(_INFER):
            route = self._route(path.removeprefix("/v2/models/").removesuffix(_INFER))
            body = await self._body(receive, length, self._limits.max_infer_body_bytes)
            return await self._endpoints.predictions.infer(route, body, call)
        if path.startswith("/v1/predict/"):
            self._route(path.removeprefix("/v1/predict/"), only_routes=True)
        raise NotFoundHere(f"no endpoint POST {path}")

    async def _body(self, receive: Receive, length: int, limit: int) -> bytes:
        return await read_body(receive, length, limit, self._limits.read_timeout_s)

    async def _get(self, scope: Scope, path: str) -> Reply:
        """Health needs no key; everything else needs the scope `read`."""
        if path in ("/health/live", "/v2/health/live"):
            return 200, [JSON], b'{"live":true}'
        if path in ("/health/ready", "/v2/health/ready"):
            state = self._endpoints.readiness.as_dict()
            return 200 if state["ready"] else 503, [JSON], msgspec.json.encode(state)
        authorization, _ = read_headers(scope["headers"], Call(0.0))
        principal = self._keys.cached(authorization) or await self._keys.check(authorization)
        if scope["method"] not in ("GET", "HEAD"):
            raise WrongMethod(f"{scope['method']} {path}: use GET or POST")
        if not principal.may("read"):
            raise NotAllowed(f"key {principal.name} lacks the scope read; use one that has it")
        reply = self._endpoints.view(path)
        if reply is not None:
            return reply
        if path.startswith("/v1/predict/") or path == _FEEDBACK or path.endswith(_INFER):
            raise WrongMethod(f"{path}: use POST")
        raise NotFoundHere(f"no endpoint GET {path}")

    def _route(self, name: str, *, only_routes: bool = False) -> Route:
        route = (self._tables.routes if only_routes else self._tables.by_name).get(name)
        if route is None:
            known = ", ".join(sorted(self._tables.routes)) or "none yet"
            raise UnknownRoute(f"no route {name!r} (known: {known}); deploy a model to it, or correct the name")
        return route
