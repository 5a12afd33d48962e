"""A router in this process, without a broker: the real ASGI program on a real socket, spool in a folder."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts import FeedbackReceived, GenerationLogged, PredictionLogged, RoutePublished
from modelyard_contracts.codec import decode
from modelyard_contracts.signature import Signature
from modelyard_router.app import RouterApp
from modelyard_router.domain.records import FEEDBACK, GENERATION, PREDICTION
from modelyard_router.settings import Settings
from modelyard_router.store.route_tables import Offered

from .plans import ELEC, Node, leaf, planned, split
from .replica import DIGEST_1, Behaviour, Replica, start_replica
from .sockets import SocketServer

KEY = "an-admin-key-of-some-length"

SCHEMA = ELEC
"""Signature of the model `elec`."""
ROW = {"price": 0.75, "colour": "red", "demand": 3}


@dataclass(frozen=True)
class Target:
    """One version and its share of the traffic."""

    variant: str
    weight: float
    node: Node


def target(
    *urls: str,
    variant: str = "stable",
    version: int = 1,
    digest: str = DIGEST_1,
    weight: float = 1.0,
    schema: Signature = SCHEMA,
) -> Target:
    return Target(variant, weight, leaf(*urls, signature=schema, version=version, digest=digest, variant=variant))


def plan_of(*targets: Target) -> Node:
    """A leaf for one target with all traffic, else a split with the challengers first."""
    if len(targets) == 1 and targets[0].weight == 1:
        return targets[0].node
    ordered = sorted(targets, key=lambda one: (one.variant == "stable", one.variant))
    return split(*((one.variant, one.weight, one.node) for one in ordered))


def table(
    *targets: Target,
    sequence: int = 1,
    route: str = "elec",
    schemas: Sequence[Signature] = (SCHEMA,),
    timeout_ms: int = 5_000,
) -> RoutePublished:
    """A published route; without targets it is deleted."""
    root = plan_of(*targets) if targets else None
    return planned(root, signatures=tuple(schemas), route=route, sequence=sequence, timeout_ms=timeout_ms)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class World:
    app: RouterApp
    replicas: list[Replica] = field(default_factory=list)
    server: SocketServer | None = None
    """None: `call` goes to the ASGI program, without a socket."""

    async def replica(self, behaviour: Behaviour | None = None) -> Replica:
        self.replicas.append(await start_replica(behaviour))
        return self.replicas[-1]

    def publish(self, published: RoutePublished) -> Offered:
        return self.app.tables.offer(published)

    async def serve(self, behaviour: Behaviour | None = None, **more: Any) -> Replica:
        """One replica that the route `elec` sends everything to."""
        replica = await self.replica(behaviour)
        self.publish(table(target(replica.url), **more))
        return replica

    async def call(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        parts: Sequence[bytes] | None = None,
    ) -> Answer:
        """Through the ASGI program. parts: a body that comes in pieces and does not say its length."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-length": str(len(raw))} if parts is None else {}
        given |= {"authorization": f"Bearer {key}"} if key is not None else {}
        given |= headers or {}
        pieces = list(parts or [raw])
        if self.server is not None:
            return _answer(*await self.server.call(method, path, given, pieces))
        sent: list[Any] = []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "server": ("router", 80),
            "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return _answer(sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]))

    async def predict(self, features: Any = None, route: str = "elec", **more: Any) -> Answer:
        return await self.call("POST", f"/v1/predict/{route}", {"features": features or ROW, **more})

    def logged(self) -> list[PredictionLogged]:
        """Predictions in the spool, oldest first."""
        return [decode(r.value, PredictionLogged) for r in self._spooled() if r.kind == PREDICTION]

    def labels(self) -> list[FeedbackReceived]:
        return [decode(r.value, FeedbackReceived) for r in self._spooled() if r.kind == FEEDBACK]

    def generations(self) -> list[GenerationLogged]:
        return [decode(r.value, GenerationLogged) for r in self._spooled() if r.kind == GENERATION]

    def _spooled(self) -> list[Any]:
        self.app.spool.seek(self.app.spool.first_position)
        records: list[Any] = []
        while more := self.app.spool.read(10_000, 1 << 20):
            records += more
        return records


def _answer(status: int, fields: dict[str, str], body: bytes) -> Answer:
    return Answer(status, fields, json.loads(body) if "json" in fields["content-type"] else body.decode())


Make = Callable[..., Awaitable[World]]


@pytest.fixture
def transport() -> str:
    """`asgi` or `socket`: how requests reach the router. Modules whose tests must hold on both have their own."""
    return "asgi"


@pytest.fixture
async def make_world(tmp_path: Path, loopback: None, transport: str) -> AsyncIterator[Make]:
    made: list[World] = []

    async def make(**settings: Any) -> World:
        key_file = tmp_path / "admin.key"
        key_file.write_text(KEY)
        given: dict[str, Any] = {
            "admin_key_file": key_file,
            "data_dir": tmp_path / "router",
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "registry_url": "http://127.0.0.1:1",
            "spool_max_bytes": 10 << 20,
        }
        app = RouterApp(Settings(**{**given, **settings}))
        await app.start()
        made.append(World(app))
        if transport == "socket":
            made[-1].server = server = SocketServer(app)
            await server.open()
        return made[-1]

    yield make
    for world in made:
        if world.server is not None:
            await world.server.close()
        await world.app.stop()
        for replica in world.replicas:
            await replica.die()


@pytest.fixture
async def world(make_world: Make) -> World:
    return await make_world()
