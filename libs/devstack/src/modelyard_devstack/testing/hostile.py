"""Hostile requests for every endpoint of a service.

    async def test_hostile_input_gets_answers_that_blame_the_caller() -> None:
        async with served(app) as port:
            await walk_hostile(port, operations_of(app), key="admin@*")

Every request goes over a socket of its own. An answer is wrong when it does not come, when its status is 5xx, when an
error of the caller is not a problem document with one sentence, or when the service is not alive afterwards.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from fastapi import FastAPI

from modelyard_devstack.testing.access import endpoints
from modelyard_devstack.testing.hostile_values import HEADS, JSON, PARTS, VALUES, documents
from modelyard_devstack.testing.sentences import flaws
from modelyard_runtime.connection import GuardedProtocol

ANSWER_S: Final = 30.0
SAMPLE_ID: Final = str(UUID(int=7))


@dataclass(frozen=True)
class Operation:
    """One endpoint. schema: of its JSON body, None without one; a name of `query` is a query parameter."""

    method: str
    path: str
    schema: Mapping[str, Any] | None = None
    query: tuple[str, ...] = ()
    definitions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def takes_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")


def operations_of(app: FastAPI, schemas: Mapping[str, Mapping[str, Any]] | None = None) -> list[Operation]:
    """Every endpoint of an app, also those outside its document. schemas: bodies of these, by label."""
    document = app.openapi()
    definitions = document.get("components", {}).get("schemas", {})
    found = []
    for endpoint in endpoints(app):
        path = re.sub(r":[^}]*}", "}", endpoint.path)
        described = document["paths"].get(path, {}).get(endpoint.method.lower(), {})
        query = [one["name"] for one in described.get("parameters", ()) if one["in"] == "query"]
        content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
        schema = (schemas or {}).get(f"{endpoint.method} {path}") or content.get("schema")
        found.append(Operation(endpoint.method, path, schema, tuple(query), definitions))
    return found


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """Serve an ASGI program on a port of this process, with the protocol that services use."""
    import uvicorn
    from uvicorn.server import ServerState

    config = uvicorn.Config(app, http=GuardedProtocol, ws="none", loop="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: GuardedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Answered:
    """status 0: the connection was closed, or nothing came, without an answer."""

    status: int
    head: str = ""
    body: bytes = b""


async def walk_hostile(
    port: int,
    operations: Iterable[Operation],
    *,
    key: str,
    samples: Mapping[str, str] | None = None,
    bodies: Mapping[str, Mapping[str, Any]] | None = None,
    skip: frozenset[str] = frozenset(),
    alive: str = "/health/live",
) -> int:
    """Send the list to every operation; AssertionError names each answer that is wrong. Returns the requests sent.

    samples: values of path parameters of existing resources. bodies: a good body, by label, whose fields are replaced
    one by one; otherwise a body is made up from the schema. skip: labels to leave out, each with a reason at the call.
    """
    walk = _Walk(port, key, dict(samples or {}), alive)
    for operation in operations:
        if operation.label not in skip:
            await walk.operation(operation, (bodies or {}).get(operation.label))
    assert walk.sent, "no operation"  # noqa: S101
    shown = "\n".join(walk.wrong[:60])
    assert not walk.wrong, f"{len(walk.wrong)} of {walk.sent} answers are wrong:\n{shown}"  # noqa: S101
    return walk.sent


class _Walk:
    def __init__(self, port: int, key: str, samples: dict[str, str], alive: str) -> None:
        self._port, self._key, self._samples, self._alive = port, key, samples, alive
        self.sent = 0
        self.wrong: list[str] = []

    async def operation(self, operation: Operation, good: Mapping[str, Any] | None) -> None:
        body = good if good is not None else _made_up(operation.schema, operation.definitions)
        path = self._path(operation.path)
        for name, target, headers, content in _requests(operation, path, body):
            self.sent += 1
            answer = await ask(self._port, operation.method, target, self._key, headers, content)
            wanted = 415 if operation.takes_body and "content-encoding" in headers else None
            if problem := _problem_of(answer, operation.method, wanted):
                self.wrong.append(f"{operation.label}, {name}: {problem}")
        alive = await ask(self._port, "GET", self._alive, self._key)
        if alive.status != 200:
            self.wrong.append(f"after {operation.label}: {self._alive} answers {alive.status}")

    def _path(self, template: str) -> str:
        return re.sub(r"{([^}]+)}", lambda found: self._samples.get(found[1], SAMPLE_ID), template)


NOT_SERVED: Final = 501
"""The only such status that is no fault: of a foreign API, a part that is deliberately not served."""
Request = tuple[str, str, Mapping[str, str], bytes]


def _requests(operation: Operation, path: str, body: Any) -> Iterator[Request]:
    """(name, target, headers, body)"""
    good = json.dumps(body).encode() if operation.takes_body else b""
    for name, headers in HEADS.items():
        yield name, path, headers, good
    if operation.takes_body:
        for name, content in documents():
            yield name, path, JSON, content
        for name, content in _spoilt(body):
            yield name, path, JSON, content
    for parameter in re.findall(r"{([^}]+)}", operation.path):
        for part in PARTS:
            spoilt = operation.path.replace(f"{{{parameter}}}", part)
            yield f"{{{parameter}}}={part[:40]}", re.sub(r"{[^}]+}", SAMPLE_ID, spoilt), JSON, good
    for parameter in operation.query:
        for part in PARTS:
            yield f"?{parameter}={part[:40]}", f"{path}?{quote(parameter)}={part}", JSON, good
    if operation.query:
        name = operation.query[0]
        yield "the same parameter twice", f"{path}?{name}=1&{name}=2", JSON, good


def _spoilt(body: Any) -> Iterator[tuple[str, bytes]]:
    """The body with each of its fields, at every depth, replaced by each value."""
    for place in _places(body):
        marked = json.dumps(_replaced(body, place, "@@")).encode()
        for name, value in VALUES.items():
            yield f"{'.'.join(map(str, place))} = {name}", marked.replace(b'"@@"', value, 1)


def _places(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value[:1])
    for name, each in inner:
        yield (*above, name)
        yield from _places(each, (*above, name))


def _replaced(value: Any, place: tuple[str | int, ...], by: Any) -> Any:
    if not place:
        return by
    copy: Any = dict(value) if isinstance(value, Mapping) else list(value)
    copy[place[0]] = _replaced(copy[place[0]], place[1:], by)
    return copy


def _made_up(schema: Mapping[str, Any] | None, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that roughly matches a JSON schema, with all its fields."""
    if not schema or depth > 8:
        return {}
    if "$ref" in schema:
        return _made_up(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions, depth + 1)
    for word in ("const", "default", "examples", "enum"):
        if word in schema and schema[word] is not None:
            return schema[word][0] if word in ("examples", "enum") else schema[word]
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            options = [each for each in schema[word] if each.get("type") != "null"]
            return _made_up(options[0] if options else {}, definitions, depth + 1)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        fields = schema.get("properties", {})
        return {name: _made_up(each, definitions, depth + 1) for name, each in fields.items()} or {"a": "b"}
    if kind == "array":
        return [_made_up(schema.get("items", {}), definitions, depth + 1)]
    if kind == "string":
        return {"uuid": SAMPLE_ID, "date-time": "2026-01-31T12:00:00Z"}.get(schema.get("format", ""), "sample")
    least = schema.get("minimum", 1)
    return {"integer": least, "number": least, "boolean": True}.get(str(kind), {})


def _problem_of(answer: Answered, method: str, wanted: int | None = None) -> str | None:
    """The reason why an answer is wrong, or None. wanted: the only status that is right."""
    if wanted is not None and answer.status not in (wanted, 404, 405):
        return f"{answer.status} instead of {wanted}"
    if answer.status == 0:
        return "the connection ended without an answer"
    if answer.status >= 500 and answer.status != NOT_SERVED:
        return f"{answer.status} {answer.body[:300]!r}"
    if answer.status < 400 or method == "HEAD":
        return None
    try:
        document = json.loads(answer.body)
        detail = document.get("detail") or document.get("error") or document.get("message")
    except (ValueError, AttributeError):
        return f"{answer.status} without a problem document: {answer.body[:100]!r}"
    if found := flaws(str(detail or "")):
        return f"{answer.status} {str(detail)[:300]!r}: {', '.join(found)}"
    return None


async def ask(
    port: int,
    method: str,
    target: str,
    key: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answered:
    """One request on a connection of its own. A stream of events is read no further than its head."""
    given = {"host": "x", "authorization": f"Bearer {key}", **(headers or {})}
    given["content-length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
                return await _answer(reader, method)
            finally:
                writer.close()
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return Answered(0)


async def _answer(reader: asyncio.StreamReader, method: str) -> Answered:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    if "text/event-stream" in head or method == "HEAD" or status in (204, 304):
        return Answered(status, head)
    if length := re.search(r"content-length: (\d+)", head):
        return Answered(status, head, await reader.readexactly(int(length[1])))
    return Answered(status, head, await _chunks(reader))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    whole = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        whole += (await reader.readexactly(size + 2))[:-2]
    return whole
