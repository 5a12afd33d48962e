"""A toy topic of its own per test, with a JSON codec, so that tests sharing a broker never see one another."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, cast
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from pydantic import ValidationError
from sqlalchemy import Column, Integer, Table, Text

from modelyard_contracts import Message
from modelyard_contracts.codec import Undecodable
from modelyard_runtime.clock import system_clock
from modelyard_runtime.database import Database, open_engine, runtime_metadata
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import DeadLetters, EventConsumer, Producer, list_dead_letters
from modelyard_runtime.kafka.events import EVENTS
from modelyard_runtime.kafka.topics import create_topics
from modelyard_runtime.tables import add_changes_table


class Toy(Message):
    """A message that is JSON on the wire."""

    TOPIC: ClassVar[str] = "toy"
    entity: str
    number: int

    @property
    def key(self) -> str:
        return self.entity


class ToyCodec:
    """As strict as the real one, as far as the loop can tell."""

    def encode(self, message: Message) -> bytes:
        return b"{}" + message.model_dump_json().encode()

    def decode(self, data: bytes | None, expected: type[Message]) -> Message:
        if not data or data[:2] != b"{}":
            raise Undecodable("no toy framing")
        try:
            return expected.model_validate(json.loads(data[2:]))
        except (ValueError, ValidationError) as error:
            raise Undecodable(str(error)) from error


class ToyTopic:
    """One topic of one test."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.bootstrap, self.name = bootstrap, name
        self.group = f"toyreader.{name}"
        self.message: Any = type("ToyOfTest", (Toy,), {"TOPIC": name, "__module__": __name__})
        self.codec = cast("Any", ToyCodec())
        self.producer = Producer(bootstrap, "toywriter", codec=self.codec)

    def make(self, entity: str, number: int, event_id: UUID | None = None) -> Any:
        return self.message(event_id=event_id or uuid4(), occurred_at=system_clock(), entity=entity, number=number)

    async def send(self, entity: str, numbers: Iterable[int], **headers: str) -> None:
        for number in numbers:
            await self.producer.send(self.make(entity, number), headers=headers)

    async def send_raw(self, value: bytes | None, key: str = "a", partition: int | None = None) -> None:
        await self.producer.send_bytes(self.name, key, value, partition=partition)

    def consumer(self, handler: Callable[..., Any], **options: Any) -> EventConsumer:
        given = {name: options.pop(name) for name in ("dead_letters", "readiness") if name in options}
        usual = {"retry_min_s": 0.05, "retry_max_s": 0.2, "session_timeout_ms": 6_000}
        return EventConsumer(
            bootstrap=self.bootstrap,
            group=self.group,
            service="toyreader",
            handlers={self.message: handler},
            codec=self.codec,
            options=replace(EVENTS, **{**usual, **options}),
            **{"dead_letters": DeadLetters(self.bootstrap, "toyreader"), **given},
        )

    @asynccontextmanager
    async def consuming(self, handler: Callable[..., Any], **options: Any) -> AsyncIterator[EventConsumer]:
        consumer = self.consumer(handler, **options)
        async with running(consumer):
            yield consumer

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """A second member of the group that reads another topic: the group rebalances, its partitions stay."""
        other = f"{self.name}.other"
        await create_topics(self.bootstrap, {other: (1, {})})
        member = AIOKafkaConsumer(other, bootstrap_servers=self.bootstrap, group_id=self.group)
        await member.start()
        try:
            yield
        finally:
            await member.stop()

    async def dead_letters(self, limit: int = 1_000) -> Any:
        return await list_dead_letters(self.bootstrap, self.name, "toyreader", limit)

    async def committed(self) -> int:
        """Offsets committed over all partitions."""
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self.group)
            return sum(one.offset for one in found.values())
        finally:
            await admin.close()


@asynccontextmanager
async def running(*consumers: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(consumer.run(stop)) for consumer in consumers]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 40)


@pytest.fixture
def run_consumers() -> Any:
    return running


@pytest.fixture
async def toys(devkafka: Any, unique: str) -> AsyncIterator[ToyTopic]:
    """A topic of three partitions."""
    topic = ToyTopic(devkafka.bootstrap, f"toy.{unique}")
    await create_topics(topic.bootstrap, {topic.name: (3, {})})
    yield topic
    await topic.producer.stop()


@pytest.fixture
def toy_topic() -> type[ToyTopic]:
    return ToyTopic


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


# -- databases ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Outbox, inbox and a table `things(name, value)`."""
    engine = open_engine(database_url)
    metadata = runtime_metadata()
    add_changes_table(metadata)
    Table("things", metadata, Column("name", Text, primary_key=True), Column("value", Integer, nullable=False))
    metadata.create_all(engine)
    database = Database(engine, system_clock)
    yield database
    database.close()
