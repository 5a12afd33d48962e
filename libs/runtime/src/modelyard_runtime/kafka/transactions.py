"""Exactly once from Kafka to Kafka: one transactional producer per input partition, fenced when it is assigned.

One id per process lets a member that stalled, and lost its partitions, commit offsets with its still valid producer;
with one id per partition the next owner's first act makes the old producer useless.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError
from aiokafka.structs import OffsetAndMetadata

from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.headers import to_wire
from modelyard_runtime.kafka.closing import stop_producer
from modelyard_runtime.kafka.consumer import BatchConsumer
from modelyard_runtime.kafka.pump import PartitionLost

TRANSACTION_TIMEOUT_MS: Final = 15_000
"""After a death nobody takes over from, readers of the output wait so long at most."""

Send = Callable[..., Awaitable[None]]


def partition_transactional_id(group: str, topic: str, partition: int) -> str:
    return f"{group}-{topic}-{partition}"


class PartitionTransactions:
    """The producers of a BatchConsumer whose effects are records and whose offsets are committed with them.

    Give `on_assigned` and `on_revoked` of this to a BatchConsumer made with `commits=False`, and `attach` it; then in
    `on_batch`: `async with transactions.begin(topic, partition, records[-1].offset + 1) as send: await send(...)`.
    """

    def __init__(self, bootstrap: str, group: str) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._producers: dict[tuple[str, int], Any] = {}
        self._consumer: BatchConsumer | None = None

    def attach(self, consumer: BatchConsumer) -> None:
        self._consumer = consumer

    async def on_assigned(self, partitions: set[tuple[str, int]]) -> None:
        """Fence the previous owners, and only then read the positions they have left."""
        if self._consumer is None:
            raise RuntimeError("attach the consumer first")
        await asyncio.gather(*(self._fence(*where) for where in partitions))
        for topic, partition in partitions:
            committed = await self._consumer.committed(topic, partition)
            if committed is not None:
                self._consumer.seek(topic, partition, committed[0])

    async def on_revoked(self, partitions: set[tuple[str, int]]) -> None:
        await asyncio.gather(*(self._drop(*where) for where in partitions))

    async def close(self) -> None:
        await self.on_revoked(set(self._producers))

    @asynccontextmanager
    async def begin(self, topic: str, partition: int, next_offset: int) -> AsyncIterator[Send]:
        """A transaction that commits what is sent and the input's offset together, or neither.

        PartitionLost when another member has taken over, and after any other failure: whoever gets the partition
        then begins at the last committed offset.
        """
        producer = self._producers.get((topic, partition))
        if producer is None:
            raise PartitionLost(f"{topic}[{partition}]: no producer")
        try:
            async with producer.transaction():
                yield _sender(producer)
                offsets = {TopicPartition(topic, partition): OffsetAndMetadata(next_offset, "")}
                await producer.send_offsets_to_transaction(offsets, self._group)
        except (KafkaError, IllegalOperation) as error:  # the latter: fenced in the middle of a block
            # What is left of the producer's state is unknown: the group decides anew who owns the partition.
            await self._drop(topic, partition)
            raise PartitionLost(f"{topic}[{partition}]: {error!r}") from error

    async def _fence(self, topic: str, partition: int) -> None:
        await self._drop(topic, partition)
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            transactional_id=partition_transactional_id(self._group, topic, partition),
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            linger_ms=2,
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await stop_producer(producer)
            raise BrokerAway(f"{topic}[{partition}]: {error!r}") from error
        self._producers[topic, partition] = producer

    async def _drop(self, topic: str, partition: int) -> None:
        producer = self._producers.pop((topic, partition), None)
        if producer is not None:
            await stop_producer(producer)


def _sender(producer: Any) -> Send:
    async def send(topic: str, key: str | None, value: bytes | None, headers: dict[str, str] | None = None) -> None:
        await producer.send(topic, value, key=key.encode() if key else None, headers=to_wire(headers or {}))

    return send
