"""A deployer of a newer release writes tables with a schema that this router does not carry."""

import asyncio
import json
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import fastavro
import pytest
from aiokafka import AIOKafkaProducer

from modelyard_contracts import RoutePublished
from modelyard_contracts.codec import CONFLUENT_MAGIC, Codec, avro_record
from modelyard_contracts.topics import schema_text, topic
from modelyard_devstack.testing import DevServer, eventually
from modelyard_router.events import reader as reader_module
from modelyard_router.events.announcer import Announcer
from modelyard_router.events.reader import RouteReader
from modelyard_router.store.acknowledged import Acknowledged
from modelyard_runtime.clock import system_clock
from modelyard_runtime.errors import Unavailable
from modelyard_runtime.kafka import ensure_topics

from .conftest import World, table, target

NEWER_ID = 9_001


def newer() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(schema_text(RoutePublished.TOPIC))
    schema["fields"].append({"name": "colour_of_the_route", "type": ["null", "string"], "default": None})
    return schema


def written(published: RoutePublished) -> Any:
    out = BytesIO()
    fastavro.schemaless_writer(
        out, fastavro.parse_schema(newer()), {**avro_record(published), "colour_of_the_route": "red"}
    )
    value = CONFLUENT_MAGIC + NEWER_ID.to_bytes(4, "big") + out.getvalue()
    return SimpleNamespace(value=value, key=b"elec", topic=RoutePublished.TOPIC, partition=0, offset=7)


class Registry:
    """Knows `text` under NEWER_ID, or is away."""

    def __init__(self, text: str | None, *, away: bool = False) -> None:
        self._text, self.away = text, away

    def by_id(self, schema_id: int) -> str | None:
        if self.away:
            raise Unavailable("the registry is away")
        return self._text if schema_id == NEWER_ID else None

    def by_fingerprint(self, hexadecimal: str) -> str | None:
        return None


def reader(world: World, registry: Registry, bootstrap: str = "127.0.0.1:1") -> RouteReader:
    app = world.app
    announcer = Announcer(bootstrap, "router-1", system_clock, Acknowledged(app.settings.data_dir))
    return RouteReader(bootstrap, app.tables, announcer, app.readiness, app.counters, Codec(registry))


async def test_a_newer_table_is_applied_with_the_schema_from_the_registry(world: World) -> None:
    await reader(world, Registry(json.dumps(newer()))).apply(written(table(target("http://127.0.0.1:1"), sequence=3)))
    assert world.app.tables.routes["elec"].published.sequence == 3


async def test_a_table_of_an_unknown_schema_is_counted_and_skipped(world: World) -> None:
    await reader(world, Registry(None)).apply(written(table(target("http://127.0.0.1:1"))))
    assert (world.app.counters.tables["unreadable"], dict(world.app.tables.routes)) == (1, {})


@pytest.mark.server
async def test_while_the_registry_is_unreachable_others_are_applied_and_the_newer_one_later(
    world: World, devkafka: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "READ_AGAIN_S", 0.5)
    bootstrap, registry, stop = devkafka.bootstrap, Registry(json.dumps(newer()), away=True), asyncio.Event()
    await ensure_topics(bootstrap, [topic(RoutePublished.TOPIC)])
    ours, theirs = f"ours-{uuid4().hex[:8]}", f"theirs-{uuid4().hex[:8]}"
    await send(bootstrap, theirs, written(table(target("http://127.0.0.1:1"), route=theirs)).value)
    await send(bootstrap, ours, Codec().encode(table(target("http://127.0.0.1:1"), route=ours)))
    reading = asyncio.create_task((one := reader(world, registry, bootstrap)).run(stop))
    routes = world.app.tables.routes
    await eventually(lambda: one.caught_up and ours in routes, what="the readable table")
    assert theirs not in routes
    registry.away = False
    await eventually(lambda: theirs in routes, what="the newer table")
    stop.set()
    await reading


async def send(bootstrap: str, key: str, value: bytes) -> None:
    """To one partition, so that one table follows the other."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(RoutePublished.TOPIC, value, key=key.encode(), partition=0)
