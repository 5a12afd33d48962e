"""The ASGI program of a model server: Open Inference Protocol v2 over HTTP, and nothing else."""

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from modelyard_serving.batching import Batcher
from modelyard_serving.errors import BadRequest, Overloaded, ServingError, TooLarge
from modelyard_serving.loading import LoadedModel
from modelyard_serving.protocol import CATEGORICAL_TENSOR, NUMERIC_TENSOR, Contract, answer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DEADLINE_HEADER: Final = b"x-modelyard-timeout-ms"
"""How long the caller still waits; a request that waited longer is not predicted."""


class Limits(msgspec.Struct, frozen=True):
    max_body_bytes: int = 16 << 20
    max_rows: int = 10_000
    """In one request."""
    max_batch_rows: int = 4_096
    max_waiting_rows: int = 50_000
    timeout_ms: int = 30_000
    """When the caller names none."""
    read_timeout_ms: int = 10_000


class ModelApp:
    """Not ready until `install`; not ready again once `draining`, though it still answers."""

    def __init__(self, token: str, limits: Limits | None = None) -> None:
        self._authorization = b"Bearer " + token.encode()
        self.limits = limits or Limits()
        self.model: LoadedModel | None = None
        self.draining = False
        self.requests = self.errors = self.in_flight = 0

    def install(self, model: LoadedModel, batcher: Batcher) -> None:
        self._batcher = batcher
        self._contract = Contract(model.manifest.feature_schema, self.limits.max_rows)
        self.model = model

    @property
    def ready(self) -> bool:
        return self.model is not None and not self.draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.in_flight += 1
        try:
            status, body = await self._respond(scope, receive)
        except ServingError as error:
            self.errors += 1
            status, body = error.status, _problem(str(error), error.code, error.field)
        except Exception as error:
            self.errors += 1
            status, body = 500, _problem(f"the model failed: {type(error).__name__}: {error}", "model_failed", None)
        finally:
            self.in_flight -= 1
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        path, method = scope["path"].rstrip("/"), scope["method"]
        if path == "/v2/health/live":
            return 200, b'{"live":true}'
        if path == "/v2/health/ready":
            return (200, b'{"ready":true}') if self.ready else (503, b'{"ready":false}')
        headers = dict(scope["headers"])
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._authorization):
            return 401, _problem(
                "a bearer token is needed: the serving token of this installation", "unauthorized", None
            )
        if method == "POST":
            return await self._infer(path, headers, receive)
        return self._describe(path)

    async def _infer(self, path: str, headers: dict[bytes, bytes], receive: Receive) -> tuple[int, bytes]:
        model = self._model_at(path.removesuffix("/infer"))
        if model is None or not path.endswith("/infer"):
            return 404, _problem(f"nothing at POST {path}", "not_found", None)
        timeout_s = self._timeout_s(headers)
        body = await self._body(headers, receive)
        request_id, rows = self._contract.read(body)
        self.requests += 1
        scores = await self._batcher.submit(rows, timeout_s)
        return 200, answer(model.manifest.model, model.version, model.digest, request_id, model.classes, scores)

    def _describe(self, path: str) -> tuple[int, bytes]:
        if path == "/v2":
            return 200, msgspec.json.encode({"name": "modelyard-serving", "version": "2", "extensions": []})
        if path == "/metrics":
            return 200, msgspec.json.encode(self.figures())
        model = self._model_at(path.removesuffix("/ready"))
        if model is None:
            return 404, _problem(f"nothing at GET {path}", "not_found", None)
        if path.endswith("/ready"):
            return (200, b'{"ready":true}') if self.ready else (503, b'{"ready":false}')
        return 200, msgspec.json.encode(_metadata(model))

    def figures(self) -> dict[str, int]:
        """Counters since the start."""
        batcher = getattr(self, "_batcher", None)
        done = {"batches": batcher.batches, "rows": batcher.rows} if batcher else {}
        return {"requests": self.requests, "errors": self.errors, "in_flight": self.in_flight, **done}

    def _model_at(self, path: str) -> LoadedModel | None:
        """The model that /v2/models/{name}[/versions/{v}] names, if it is the one served here."""
        model = self.model
        if model is None:
            raise Overloaded("the model is not loaded yet; wait for /v2/health/ready")
        own = f"/v2/models/{model.manifest.model}"
        return model if path in (own, f"{own}/versions/{model.version}") else None

    def _timeout_s(self, headers: dict[bytes, bytes]) -> float:
        given = headers.get(DEADLINE_HEADER)
        if given is None:
            return self.limits.timeout_ms / 1000
        try:
            timeout_ms = float(given)
        except ValueError:
            timeout_ms = math.nan
        if not 0 < timeout_ms < math.inf:
            raise BadRequest(f"{DEADLINE_HEADER.decode()}: not a positive number of milliseconds")
        return min(timeout_ms, self.limits.timeout_ms) / 1000

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        limit = self.limits.max_body_bytes
        if int(headers.get(b"content-length", b"0")) > limit:
            raise TooLarge(f"the body has more than {limit} bytes; send fewer rows")
        try:
            async with asyncio.timeout(self.limits.read_timeout_ms / 1000):
                return await _whole(receive, limit)
        except TimeoutError as error:
            raise BadRequest(f"the body did not arrive within {self.limits.read_timeout_ms} ms") from error


async def _whole(receive: Receive, limit: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the caller went away")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes; send fewer rows")
    return b"".join(chunks)


def _problem(message: str, code: str, field: str | None) -> bytes:
    """The protocol's error object, with our word for programs and the input at fault beside it."""
    more = {"field": field} if field else {}
    return msgspec.json.encode({"error": message, "code": code, **more})


def _metadata(model: LoadedModel) -> dict[str, Any]:
    schema = model.manifest.feature_schema
    inputs = [
        {"name": name, "datatype": datatype, "shape": [-1, len(columns)], "parameters": {"features": list(columns)}}
        for name, datatype, columns in (
            (NUMERIC_TENSOR, "FP64", schema.numeric),
            (CATEGORICAL_TENSOR, "BYTES", schema.categorical),
        )
        if columns
    ]
    outputs: list[dict[str, Any]] = [{"name": "scores", "datatype": "FP64", "shape": [-1, len(model.classes) or 1]}]
    if model.classes:
        outputs.insert(0, {"name": "class", "datatype": "BYTES", "shape": [-1]})
    return {
        "name": model.manifest.model,
        "versions": [model.version],
        "platform": f"modelyard_{model.manifest.flavour}",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"digest": model.digest, "feature_schema_id": schema.id, "classes": list(model.classes)},
    }
