"""Consume, transform, produce: exactly once, with one transactional.id per input partition.

copier.py BOOTSTRAP SOURCE SINK GROUP STALL_EVERY STALL_SECONDS

The new owner of a partition fences the old one by starting a producer with the partition's id, and only then reads the
committed offset. Each STALL_EVERY-th transaction blocks the event loop, as a long pause of the process would (0: none).
"""

import asyncio
import contextlib
import sys
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

SESSION_MS = 3_000


class Copier(ConsumerRebalanceListener):  # type: ignore[misc]
    """The lock keeps a rebalance out of the middle of a transaction; it is not held while waiting for records."""

    def __init__(self, bootstrap: str, source: str, sink: str, group: str, stall: tuple[int, float]) -> None:
        self._bootstrap, self._sink, self._group, self._stall = bootstrap, sink, group, stall
        self._transactions = 0
        self._lock = asyncio.Lock()
        self._producers: dict[TopicPartition, AIOKafkaProducer] = {}
        self._next: dict[TopicPartition, int] = {}
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
            isolation_level="read_committed", session_timeout_ms=SESSION_MS, heartbeat_interval_ms=300,
            max_poll_records=200,
        )  # fmt: skip
        self._consumer.subscribe([source], listener=self)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        async with self._lock:
            for tp in list(self._producers):
                await self._drop(tp)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        async with self._lock:
            for tp in assigned:
                await self._take(tp)

    async def _take(self, tp: TopicPartition) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, transactional_id=f"{self._group}-{tp.topic}-{tp.partition}",
            transaction_timeout_ms=10_000,
        )  # fmt: skip
        await producer.start()
        self._producers[tp] = producer
        await self._rewind(tp)

    async def _rewind(self, tp: TopicPartition) -> None:
        """Continue at the committed offsets; `_copy` skips records fetched before."""
        self._next[tp] = await self._consumer.committed(tp) or 0
        self._consumer.seek(tp, self._next[tp])

    async def _drop(self, tp: TopicPartition) -> None:
        producer = self._producers.pop(tp, None)
        if producer is not None:
            with contextlib.suppress(KafkaError, IllegalOperation, asyncio.TimeoutError):
                await asyncio.wait_for(producer.stop(), 5)

    async def run(self) -> None:
        await self._consumer.start()
        print("ready", flush=True)
        while True:
            for tp, records in (await self._consumer.getmany(timeout_ms=200)).items():
                async with self._lock:
                    await self._copy(tp, records)

    async def _copy(self, tp: TopicPartition, records: list[Any]) -> None:
        producer = self._producers.get(tp)
        records = [record for record in records if record.offset >= self._next.get(tp, 0)]
        if producer is None or tp not in self._consumer.assignment() or not records:
            return
        try:
            async with producer.transaction():
                for record in records:
                    await producer.send(self._sink, record.value, key=record.key)
                self._transactions += 1
                if self._stall[0] and self._transactions % self._stall[0] == 0:
                    time.sleep(self._stall[1])  # noqa: ASYNC251  # sleep: a blocked event loop is the fault under test
                offset = {tp: records[-1].offset + 1}
                await producer.send_offsets_to_transaction(offset, self._group)
            self._next.update(offset)
        except (ProducerFenced, IllegalOperation):
            await self._drop(tp)  # another member has the partition, or will have it
        except KafkaError:
            if tp in self._consumer.assignment():
                await self._rewind(tp)


async def main(bootstrap: str, source: str, sink: str, group: str, every: str, seconds: str) -> None:
    await Copier(bootstrap, source, sink, group, (int(every), float(seconds))).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
