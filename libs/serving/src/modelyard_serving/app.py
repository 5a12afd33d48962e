"""The ASGI program of a model server: paths, authorization and errors of the Open Inference Protocol (V2)."""

from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard_contracts.inference.members import SEPARATOR
from modelyard_contracts.signature import Task
from modelyard_serving.batching import Batcher
from modelyard_serving.errors import BadRequest, NotFound, Overloaded, WrongMethod, pause_of, refusal
from modelyard_serving.generation import Generation
from modelyard_serving.inference import Inference, Served
from modelyard_serving.loading import Load, LoadedModel
from modelyard_serving.members import Members
from modelyard_serving.metadata import describe
from modelyard_serving.requests import Head, Limits, Receive, Scope, Send
from modelyard_serving.streaming import EVENT_STREAM, TextEndpoint
from modelyard_serving.tokens import Tokens

JSON: Final = b"application/json"
LIVE, READY = "/v2/health/live", "/v2/health/ready"
MAX_VERSIONS: Final = 64
"""In one request."""
ACTIONS: Final = ("infer", "generate", "generate_stream", "ready")
_ENCODE: Final = msgspec.json.Encoder().encode


class ModelApp:
    """Serves one version (`install`), or all that a file lists (`share`). While draining it still answers."""

    def __init__(self, tokens: Tokens, limits: Limits | None = None) -> None:
        self._tokens = tokens
        self.limits = limits or Limits()
        self.model: LoadedModel | None = None
        """The only version; None while it is loaded, and where several share the server."""
        self.members: Members | None = None
        self.draining = False
        self.requests = self.errors = self.in_flight = 0
        self._batcher: Batcher | None = None
        self._generation: Generation | None = None

    def install(self, model: LoadedModel) -> None:
        """Start answering with a loaded model; `close` ends its threads."""
        limits = self.limits
        if model.signature.task is Task.TEXT:
            waiting = limits.max_waiting_generations
            self._generation = Generation(model.generator, max_waiting=waiting, remote=model.remote)
            self._text = TextEndpoint(model, self._generation)
        else:
            self._batches().add(model.version, model.predictor.predict)
            self._served = Served.of(model)
        self.model = model

    def share(self, file: Path, flavour_load: Load | None = None) -> None:
        """Start answering with the versions that a file lists, and load them. Unloadable if it cannot be read."""
        self.members = Members(file, self._batches(), flavour_load)
        self.members.refresh()

    def _batches(self) -> Batcher:
        limits = self.limits
        self._batcher = Batcher(max_batch_rows=limits.max_batch_rows, max_waiting_rows=limits.max_waiting_rows)
        self._inference = Inference(self._batcher, limits.max_rows)
        return self._batcher

    def close(self, timeout_s: float | None = None) -> None:
        """Finish queued work and end the threads; blocks for `timeout_s` at most."""
        if self.members is not None:
            self.members.close()
        for worker in (self._batcher, self._generation):
            if worker is not None:
                worker.close(timeout_s)

    @property
    def ready(self) -> bool:
        return (self.model is not None or self.members is not None) and not self.draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        self.in_flight += 1
        try:
            await self._respond(scope, receive, sending)
        except Exception as error:
            self.errors += 1
            if not started:
                await self._refuse(error, send)
        finally:
            self.in_flight -= 1

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = Head(scope)
        if head.path == LIVE:
            await self._send(send, 200, b'{"live":true}')
        elif head.path == READY:
            await self._send_readiness(send)
        else:
            head.authorize(self._tokens)
            await self._route(head, receive, send)

    async def _route(self, head: Head, receive: Receive, send: Send) -> None:
        if head.path == "/v2":
            _require(head, "GET")
            extensions = ["generate"] if self.model and self.model.signature.task is Task.TEXT else []
            await self._send(
                send, 200, _ENCODE({"name": "modelyard-serving", "version": "2", "extensions": extensions})
            )
        elif head.path == "/metrics":
            _require(head, "GET")
            await self._send(send, 200, _ENCODE(self.figures()))
        else:
            await self._route_model(head, receive, send)

    async def _route_model(self, head: Head, receive: Receive, send: Send) -> None:
        path, _, action = head.path.rpartition("/")
        if action not in ACTIONS:
            path, action = head.path, ""
        _require(head, "GET" if action in ("", "ready") else "POST")
        if self.members is not None:
            await self._route_members(self.members, path, action, head, receive, send)
            return
        model = self._model_at(path, head.path)
        if action == "ready":
            await self._send_readiness(send)
        elif action == "":
            await self._send(send, 200, _ENCODE(describe(model)))
        elif (action == "infer") is (model.signature.task is Task.TEXT):
            raise NotFound(f"{action}: not for this version; use {'generate' if action == 'infer' else 'infer'}")
        else:
            await self._answer(action, head, receive, send)

    async def _route_members(
        self, members: Members, path: str, action: str, head: Head, receive: Receive, send: Send
    ) -> None:
        names = _versions_in(path, members.model)
        if action == "ready" and len(names) == 1:
            await self._send_state(names[0], members, send)
        elif action == "" and len(names) == 1 and (served := members.served.get(names[0])) is not None:
            await self._send(send, 200, _ENCODE(describe(served.model)))
        elif action == "infer":
            await self._infer(names, members, head, receive, send)
        else:
            raise NotFound(f"no {head.path[:200]} here; versions: {', '.join(members.served) or 'none yet'}")

    async def _infer(self, names: list[str], members: Members, head: Head, receive: Receive, send: Send) -> None:
        """One version answers as in a server of its own; several answer in one body."""
        timeout_s = head.timeout_s(self.limits)
        body = await head.body(receive, self.limits)
        self.requests += 1
        if len(names) > 1:
            wanted = {name: members.served.get(name) for name in names}
            await self._send(send, 200, await self._inference.infer_all(wanted, body, timeout_s))
        elif (served := members.served.get(names[0])) is not None:
            await self._send(send, 200, await self._inference.infer(served, body, timeout_s))
        else:
            raise NotFound(f"version {names[0][:40]} is not loaded here")

    async def _send_state(self, version: str, members: Members, send: Send) -> None:
        members.refresh()
        state, error = members.state(version)
        status = {"ready": 200, "absent": 404}.get(state, 503)
        body = {"ready": state == "ready", "state": state, **({"error": error} if error else {})}
        await self._send(send, 503 if self.draining and status == 200 else status, _ENCODE(body))

    async def _answer(self, action: str, head: Head, receive: Receive, send: Send) -> None:
        timeout_s = head.timeout_s(self.limits)
        body = await head.body(receive, self.limits)
        self.requests += 1
        if action == "infer":
            await self._send(send, 200, await self._inference.infer(self._served, body, timeout_s))
        elif action == "generate":
            await self._send(send, 200, await self._text.generate(body, timeout_s))
        else:
            await self._text.stream(body, timeout_s, receive, send, self._headers(EVENT_STREAM))

    def figures(self) -> dict[str, int]:
        """Counters since the start."""
        own = {"requests": self.requests, "errors": self.errors, "in_flight": self.in_flight}
        if self._batcher is not None:
            own |= {"batches": self._batcher.batches, "rows": self._batcher.rows}
        if self._generation is not None:
            own |= {"generations": self._generation.generations, "tokens": self._generation.tokens}
        return own

    def _model_at(self, path: str, requested: str) -> LoadedModel:
        """The model that /v2/models/{name}[/versions/{version}] names, if it is the one served here."""
        model = self.model
        if model is None:
            raise Overloaded("the model is not loaded yet; wait for /v2/health/ready")
        own = f"/v2/models/{model.name}"
        if path not in (own, f"{own}/versions/{model.version}"):
            raise NotFound(f"no {requested[:200]} here; this server answers at {own}")
        return model

    async def _send_readiness(self, send: Send) -> None:
        if self.members is not None:
            self.members.refresh()
        await self._send(send, 200 if self.ready else 503, b'{"ready":true}' if self.ready else b'{"ready":false}')

    async def _refuse(self, error: Exception, send: Send) -> None:
        status, body = refusal(error)
        await self._send(send, status, body, pause_of(error))

    async def _send(self, send: Send, status: int, body: bytes, pause_s: int | None = None) -> None:
        headers = [*self._headers(JSON), (b"content-length", b"%d" % len(body))]
        if status in (429, 503):
            headers.append((b"retry-after", b"%d" % (pause_s or 1)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _headers(self, content_type: bytes) -> list[tuple[bytes, bytes]]:
        """Headers of every answer: content type and the identity of the version."""
        headers = [(b"content-type", content_type)]
        if self.model is not None:
            headers += [
                (b"x-modelyard-model", self.model.name.encode()),
                (b"x-modelyard-version", self.model.version.encode()),
                (b"x-modelyard-digest", self.model.digest.encode()),
            ]
        if self.draining or content_type == EVENT_STREAM:
            headers.append((b"connection", b"close"))
        return headers


def _require(head: Head, method: str) -> None:
    if head.method != method:
        raise WrongMethod(f"{head.method} is not supported at {head.path[:200]}; use {method}")


def _versions_in(path: str, model: str) -> list[str]:
    """Versions that /v2/models/{model}/versions/{v},{v},... names; NotFound or BadRequest if it is another path."""
    own, names = f"/v2/models/{model}/versions/", path.rpartition("/")[2].split(SEPARATOR)
    if path.rpartition("/")[0] + "/" != own or not all(names):
        raise NotFound(f"no {path[:200]} here; several versions share this server: name one at {own}")
    if len(set(names)) != len(names) or len(names) > MAX_VERSIONS:
        raise BadRequest(f"name each version once, and at most {MAX_VERSIONS}")
    return names
