"""HTTP to use cases, bare ASGI: paths, keys, limits, bodies, problems."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from modelyard_router.domain.tables import Header, Route
from modelyard_router.errors import (
    BodyTooSlow,
    BrokenContract,
    Busy,
    NotAllowed,
    NotFoundHere,
    RouterError,
    TooLarge,
    UnknownRoute,
    WrongMethod,
)
from modelyard_router.keys import Keys
from modelyard_router.metrics import RouterMetrics
from modelyard_router.tables import RouteTables
from modelyard_router.usecases import Call, Failed, Reply, Router
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.health import Readiness

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON: Final = (b"content-type", b"application/json")
PROBLEM: Final = (b"content-type", b"application/problem+json")
_FEEDBACK: Final = "/v1/feedback"
_INFER: Final = "/infer"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApiLimits:
    max_body_bytes: int = 1 << 20
    max_infer_body_bytes: int = 16 << 20
    max_in_flight: int = 1_024
    read_timeout_s: float = 10.0


@dataclass(frozen=True)
class Pages:
    """What is not a prediction: asked seldom, written elsewhere."""

    get: Callable[[str], Reply | None]
    """Path (of a GET with the scope `read`) -> reply, or None when there is nothing."""


class Api:
    """The ASGI program."""

    def __init__(
        self,
        router: Router,
        tables: RouteTables,
        keys: Keys,
        readiness: Readiness,
        metrics: RouterMetrics,
        limits: ApiLimits,
        pages: Pages,
    ) -> None:
        self._router, self._tables, self._keys = router, tables, keys
        self._readiness, self._metrics, self._limits, self._pages = readiness, metrics, limits, pages
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = Call(time.perf_counter())
        self.in_flight += 1
        try:
            work = self._respond(scope, receive, call)
            status, headers, body = await self.answered(work, scope["method"], scope["path"])
        finally:
            self.in_flight -= 1
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def takes(self, length: int) -> bool:
        """Whether one more prediction with a body of so many bytes may be begun."""
        return self.in_flight < self._limits.max_in_flight and length <= self._limits.max_body_bytes

    async def answered(self, work: Awaitable[Reply], method: str, path: str) -> Reply:
        """The work's reply; an error as the problem that a caller may read."""
        try:
            return await work
        except Failed as failed:
            return _problem(failed.error, path, failed.headers)
        except ModelyardError as error:
            self._metrics.refuse(error.code)
            return _problem(error, path, [])
        except Exception:
            log.exception("%s %s failed", method, path)
            self._metrics.refuse("router_failed")
            return _problem(RouterError("an error of the router; see its log"), path, [])

    async def _respond(self, scope: Scope, receive: Receive, call: Call) -> Reply:
        path: str = scope["path"]
        if scope["method"] != "POST":
            return await self._get(scope, path)
        if self.in_flight > self._limits.max_in_flight:
            raise Busy(f"{self._limits.max_in_flight} requests are being answered (ROUTER_MAX_IN_FLIGHT); try again")
        authorization, length = read_headers(scope["headers"], call)
        who = self._keys.known(authorization) or await self._keys.ask(authorization)
        if not who.may("predict"):
            raise NotAllowed(f"key {who.name} lacks the scope predict; use one that has it")
        route = self._tables.by_predict_path.get(path)
        if route is not None:
            body = await self._body(receive, length, self._limits.max_body_bytes)
            return await self._router.predict(route, body, call)
        return await self._other_post(path, receive, length, call)

    async def _other_post(self, path: str, receive: Receive, length: int, call: Call) -> Reply:
        if path == _FEEDBACK:
            return await self._router.feedback(await self._body(receive, length, self._limits.max_body_bytes), call)
        if path.startswith("/v2/models/") and path.endswith(_INFER):
            route = self._named(path.removeprefix("/v2/models/").removesuffix(_INFER))
            body = await self._body(receive, length, self._limits.max_infer_body_bytes)
            return await self._router.infer(route, body, call)
        if path.startswith("/v1/predict/"):
            self._named(path.removeprefix("/v1/predict/"), only_routes=True)
        raise NotFoundHere(f"nothing at POST {path}")

    async def _get(self, scope: Scope, path: str) -> Reply:
        """Health is for everybody, the rest for keys that may read."""
        if path in ("/health/live", "/v2/health/live"):
            return 200, [JSON], b'{"live":true}'
        if path in ("/health/ready", "/v2/health/ready"):
            state = self._readiness.as_dict()
            return 200 if state["ready"] else 503, [JSON], msgspec.json.encode(state)
        authorization, _ = read_headers(scope["headers"], Call(0.0))
        who = self._keys.known(authorization) or await self._keys.ask(authorization)
        if scope["method"] not in ("GET", "HEAD"):
            raise WrongMethod(f"{scope['method']} {path}: use GET or POST")
        if not who.may("read"):
            raise NotAllowed(f"key {who.name} lacks the scope read; use one that has it")
        reply = self._pages.get(path)
        if reply is not None:
            return reply
        if path.startswith("/v1/predict/") or path == _FEEDBACK or path.endswith(_INFER):
            raise WrongMethod(f"{path}: use POST")
        raise NotFoundHere(f"nothing at GET {path}")

    def _named(self, name: str, *, only_routes: bool = False) -> Route:
        route = (self._tables.routes if only_routes else self._tables.by_name).get(name)
        if route is None:
            known = ", ".join(sorted(self._tables.routes)) or "none yet"
            raise UnknownRoute(f"no route {name!r} (known: {known}); deploy a model to it, or correct the name")
        return route

    async def _body(self, receive: Receive, length: int, limit: int) -> bytes:
        if length > limit:
            raise TooLarge(f"the body has {length} bytes; the limit is {limit}")
        try:
            async with asyncio.timeout(self._limits.read_timeout_s):
                message = await receive()
                if message.get("more_body"):
                    return await _rest(message, receive, limit)
        except TimeoutError as error:
            raise BodyTooSlow(f"the body did not arrive within {self._limits.read_timeout_s:g} s") from error
        body: bytes = message.get("body", b"")
        if len(body) > limit:  # it did not say its length, but came in one piece
            raise TooLarge(f"the body has {len(body)} bytes; the limit is {limit}")
        return body


async def _rest(message: MutableMapping[str, Any], receive: Receive, limit: int) -> bytes:
    """A body that comes in parts, none of which says how long it will be."""
    chunks, size = [message.get("body", b"")], len(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyTooSlow("the caller went away in the middle of the body")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes")
    return b"".join(chunks)


def _timeout_s(value: bytes) -> float:
    try:
        timeout_ms = float(value)
    except ValueError:
        timeout_ms = 0.0
    if not 0 < timeout_ms < 1e9:
        raise BrokenContract(
            "x-modelyard-timeout-ms: not a positive number of milliseconds", field="x-modelyard-timeout-ms"
        )
    return timeout_ms / 1000


def read_headers(headers: Iterable[Header], call: Call) -> tuple[bytes, int]:
    """(authorization, content length or 0); the trace and the deadline go into the call."""
    authorization, length = b"", 0
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"content-length":
            length = int(value)
        elif name == b"traceparent":
            call.trace = value if len(value) == 55 else b""
        elif name == b"x-modelyard-timeout-ms":
            call.timeout_s = _timeout_s(value)
    return authorization, length


def _problem(error: ModelyardError, path: str, headers: list[Header]) -> Reply:
    """RFC 9457; with `error` beside it where the Open Inference Protocol wants that."""
    status = getattr(error, "status", 503 if error.retryable else 500)
    problem: dict[str, Any] = {
        "type": f"urn:modelyard:problem:{error.code}",
        "title": getattr(error, "title", "Not available" if error.retryable else "Error"),
        "status": status,
        "detail": str(error),
        "code": error.code,
    }
    if error.field:
        problem["field"] = error.field
    if faults := getattr(error, "errors", ()):
        problem["errors"] = list(faults)
    if path.startswith("/v2"):
        problem["error"] = str(error)
    headers = [*headers, PROBLEM]
    retry_after_s = getattr(error, "retry_after_s", None)
    if status == 503:
        headers.append((b"retry-after", b"%d" % (retry_after_s or 1)))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    return status, headers, msgspec.json.encode(problem)
