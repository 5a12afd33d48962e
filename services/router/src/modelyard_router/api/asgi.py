"""The ordinary path: HTTP to use cases as a bare ASGI application; the control API answers everything else."""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from modelyard_router.api.bodies import Receive, read_body, read_headers
from modelyard_router.api.control import unknown_route
from modelyard_router.api.problems import JSON, problem
from modelyard_router.api.streams import Streamed, send_stream, whole_reply
from modelyard_router.clients.keys import Access, Keys, fingerprint
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.errors import Busy, InvalidInference, NotAllowed, NotFoundHere, RouterError, UnknownRoute
from modelyard_router.domain.requests import Call, Reply
from modelyard_router.plan.route import Route
from modelyard_router.store.route_tables import RouteTables
from modelyard_router.usecases.feedback import Feedback
from modelyard_router.usecases.generations import Generations
from modelyard_router.usecases.predictions import Failed, Predictions
from modelyard_runtime.access import Target, may
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.health import Readiness
from modelyard_runtime.http.access import target_of

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_FEEDBACK: Final = "/v1/feedback"
_PREDICT: Final = "/v1/predict/"
_GENERATE: Final = "/v1/generate/"
_MODELS: Final = "/v2/models/"
_INFER: Final = "/infer"
_VERSIONS: Final = "/versions/"
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
    generations: Generations
    feedback: Feedback
    readiness: Readiness


class Api:
    """The ASGI application. `in_flight` is shared with the fast path; set `control` before the first request."""

    control: Application

    def __init__(
        self, endpoints: Endpoints, tables: RouteTables, keys: Keys, counters: Counters, limits: ApiLimits
    ) -> None:
        self._endpoints, self._tables, self._keys = endpoints, tables, keys
        self._counters, self._limits = counters, limits
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if scope["method"] == "POST" and path.startswith((_PREDICT, _FEEDBACK, _GENERATE, _MODELS)):
            await self.data(scope, receive, send)
        elif scope["method"] == "GET" and path in ("/v2/health/live", "/v2/health/ready"):
            await _send(send, *self._health(path))
        else:
            await self.control(scope, receive, send)

    async def data(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a data endpoint."""
        call = Call(time.perf_counter())
        self.in_flight += 1
        try:
            reply = await self.reply_to(self._respond(scope, receive, call), scope["method"], scope["path"])
            if isinstance(reply, Streamed):
                await send_stream(reply, receive, send)
            else:
                await _send(send, *reply)
        finally:
            self.in_flight -= 1

    def with_keys(self, keys: Keys) -> "Api":
        """The same API for other keys."""
        return Api(self._endpoints, self._tables, keys, self._counters, self._limits)

    def accepts(self, length: int) -> bool:
        """Whether one more prediction with a body of `length` bytes may start."""
        return self.in_flight < self._limits.max_in_flight and length <= self._limits.max_body_bytes

    async def reply_to(self, work: Awaitable[Reply | Streamed], method: str, path: str) -> Any:
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

    async def _respond(self, scope: Scope, receive: Receive, call: Call) -> Reply | Streamed:
        path: str = scope["path"]
        if self.in_flight > self._limits.max_in_flight:
            raise Busy(f"{self._limits.max_in_flight} requests are in flight (ROUTER_MAX_IN_FLIGHT); try again")
        authorization, length = read_headers(scope["headers"], call)
        access = self._keys.cached(fingerprint(authorization)) or await self._keys.check(authorization)
        route = self._tables.by_predict_path.get(path)
        if route is not None:
            access.require("predict", "route", route.workspace)
            body = await self._body(receive, length, self._limits.max_body_bytes)
            return await self._endpoints.predictions.predict(route, body, call)
        return await self._other(path, access, receive, length, call)

    async def _other(self, path: str, access: Access, receive: Receive, length: int, call: Call) -> Reply | Streamed:
        limit = self._limits.max_body_bytes
        if path == _FEEDBACK:
            access.require_anywhere("feedback", "prediction")
            body = await self._body(receive, length, limit)
            return await self._endpoints.feedback.accept(body, call, access.workspace_of_label)
        if path.startswith(_GENERATE):
            route = self._route(path.removeprefix(_GENERATE), access, only_routes=True)
            body = await self._body(receive, length, limit)
            started = await self._endpoints.generations.start(route, body, call)
            return await whole_reply(started, self._stream_limits(), receive)
        if path.startswith(_MODELS) and path.endswith(_INFER):
            name, version = _model_and_version(path.removeprefix(_MODELS).removesuffix(_INFER))
            route = self._route(name, access)
            body = await self._body(receive, length, self._limits.max_infer_body_bytes)
            return await self._endpoints.predictions.infer(route, body, call, version)
        if path.startswith(_PREDICT):
            self._route(path.removeprefix(_PREDICT), access, only_routes=True)
        raise NotFoundHere(f"no endpoint POST {path[:200]}")

    def _stream_limits(self) -> float:
        return self._endpoints.generations.limits.total_s

    async def _body(self, receive: Receive, length: int, limit: int) -> bytes:
        return await read_body(receive, length, limit, self._limits.read_timeout_s)

    def _route(self, name: str, access: Access, *, only_routes: bool = False) -> Route:
        """The route of a name, if the caller may use it."""
        route = (self._tables.routes if only_routes else self._tables.by_name).get(name)
        target = target_of(name, "route") if route is None else Target(route.workspace, "route", route.name)
        decision = may(access.principal, "predict", target)
        if not decision.allowed:
            raise NotAllowed(decision.reason)
        if route is None:
            raise UnknownRoute(unknown_route(name, self._tables))
        return route

    def _health(self, path: str) -> Reply:
        """Health in the form of the Open Inference Protocol; needs no key."""
        if path.endswith("live"):
            return 200, [JSON], b'{"live":true}'
        state = self._endpoints.readiness.as_dict()
        return 200 if state["ready"] else 503, [JSON], msgspec.json.encode({"ready": state["ready"]})


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _model_and_version(text: str) -> tuple[str, int | None]:
    """`name` or `name/versions/3`."""
    name, found, version = text.partition(_VERSIONS)
    if not found:
        return name, None
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise InvalidInference(f"version {version[:40]!r}: not a number; send one such as 3", field="version")
    return name, int(version)
