"""Clients of one broker, closed at the end of the test."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from modelyard_devkafka.testing import RawClient
from modelyard_devstack.testing.processes import eventually

SESSION_MS = 6_000


class Kit:
    """Names are unique instead of cleaned up: several runs may share a broker."""

    def __init__(self, bootstrap: str, provider: str) -> None:
        self.bootstrap, self.provider = bootstrap, provider
        self._open = contextlib.AsyncExitStack()

    def unique(self, what: str) -> str:
        return f"{what}-{uuid.uuid4().hex[:10]}"

    async def admin(self) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        self._open.push_async_callback(admin.close)
        return admin

    async def topic(self, partitions: int = 1, **configs: str) -> str:
        """A new topic; configs as keywords with _ for the dot."""
        name = self.unique("topic")
        admin = await self.admin()
        own = {key.replace("_", "."): value for key, value in configs.items()}
        reply = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=own)])
        assert reply.topic_errors[0][1] == 0, reply
        await eventually(lambda: self._led(name, partitions), 10, what=f"leaders of {name}")
        return name

    def _led(self, topic: str, partitions: int) -> bool:
        """Real Kafka reports a topic as created before its broker leads it; raw requests do not retry."""
        with RawClient(self.bootstrap) as raw:
            return all(raw.fetch(topic, 0, index=index)["error_code"] == 0 for index in range(partitions))

    async def producer(self, **options: Any) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, **options)
        await producer.start()
        self._open.push_async_callback(quietly(producer.stop))
        return producer

    async def consumer(
        self, *topics: str, listener: ConsumerRebalanceListener | None = None, **options: Any
    ) -> AIOKafkaConsumer:
        options = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **options}
        if "group_id" in options:
            options = {"session_timeout_ms": SESSION_MS, "heartbeat_interval_ms": 500, **options}
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, **options)
        if topics:
            consumer.subscribe(list(topics), listener=listener)
        await consumer.start()
        self._open.push_async_callback(quietly(consumer.stop))
        return consumer

    async def fill(self, topic: str, count: int, *, partitions: int = 1) -> None:
        """`count` records, numbered, partition = number % partitions."""
        producer = await self.producer(enable_idempotence=True, linger_ms=5)
        for number in range(count):
            await producer.send(topic, b"%d" % number, key=b"k%d" % number, partition=number % partitions)
        await producer.flush()

    async def all_of(self, topic: str, *, committed: bool = True, seconds: float = 30) -> list[Any]:
        """Read all records up to the end, by offset; with `committed`, once every transaction has ended."""
        level = "read_committed" if committed else "read_uncommitted"
        consumer = await self.consumer(topic, isolation_level=level)
        if committed:
            await eventually(partial(self._no_open_transaction, consumer), seconds, what="the end of all transactions")
        records = await read_to_end(consumer, seconds)
        await consumer.stop()
        return records

    async def _no_open_transaction(self, committed: AIOKafkaConsumer) -> bool:
        """Kafka answers a commit before its markers are in the partitions; until then readers stop in front of it."""
        partitions = list(committed.assignment())
        reader = await self.consumer(isolation_level="read_uncommitted")
        try:
            return bool(await reader.end_offsets(partitions) == await committed.end_offsets(partitions))
        finally:
            await reader.stop()

    async def close(self) -> None:
        await self._open.aclose()


def quietly(stop: Callable[[], Any]) -> Callable[[], Any]:
    """Stop without an error if the broker is gone."""

    async def run() -> None:
        with contextlib.suppress(Exception):
            await stop()

    return run


async def read_to_end(consumer: AIOKafkaConsumer, seconds: float = 30) -> list[Any]:
    """Read all records from the position to the current end of all assigned partitions."""
    await eventually(lambda: bool(consumer.assignment()), what="an assignment")
    partitions = list(consumer.assignment())
    ends = await consumer.end_offsets(partitions)
    found: list[Any] = []

    async def complete() -> bool:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            found.extend(records)
        return all([await consumer.position(tp) >= ends[tp] for tp in partitions])

    await eventually(complete, seconds, what=f"reading up to {ends}")
    return found


async def take(consumer: AIOKafkaConsumer, count: int, seconds: float = 30) -> list[Any]:
    """The next `count` records."""
    found: list[Any] = []

    async def enough() -> bool:
        for records in (await consumer.getmany(timeout_ms=100, max_records=count - len(found))).values():
            found.extend(records)
        return len(found) >= count

    await eventually(enough, seconds, what=f"{count} records")
    return found


def partition(topic: str, index: int = 0) -> TopicPartition:
    return TopicPartition(topic, index)


@contextlib.asynccontextmanager
async def running(kit: Kit) -> AsyncIterator[Kit]:
    try:
        yield kit
    finally:
        await kit.close()
