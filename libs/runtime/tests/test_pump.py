"""One partition without a broker: where its batches end, and when its task does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition

from modelyard_devstack.testing import eventually
from modelyard_runtime.kafka.aiokafka_internals import Batch
from modelyard_runtime.kafka.options import ConsumerOptions
from modelyard_runtime.kafka.pump import BatchHandler, ConsumerMetrics, Pump
from modelyard_runtime.kafka.records import Received, Row
from modelyard_runtime.wakeup import pause

TP = TopicPartition("toy.v1", 0)


class Client:
    """Gives the offsets of each poll once, then nothing; remembers what was committed."""

    def __init__(self, *polls: range) -> None:
        self._polls = list(polls)
        self.committed: list[int] = []
        self._more = asyncio.Event()

    async def getmany(self, tp: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Batch]]:
        if not self._polls:
            await pause(self._more, timeout_ms / 1000)  # never set: no further record comes
            return {}
        return {tp: [Batch([Row(offset, 0, b"k", b"v", ()) for offset in self._polls.pop(0)])]}

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        self.committed.append(offsets[TP].offset)

    def highwater(self, tp: TopicPartition) -> int:
        return 100

    async def position(self, tp: TopicPartition) -> int:
        return self.committed[-1] if self.committed else 0


class Listener:
    """A consumer that ignores its pumps."""

    def pump_changed(self) -> None: ...

    def pump_broke(self, error: BaseException) -> None: ...


@asynccontextmanager
async def pumping(client: Client, on_batch: BatchHandler, replay_until: int | None = None) -> AsyncIterator[Pump]:
    options = ConsumerOptions(max_batch_records=3, max_wait_ms=0, retry_min_s=0.01, retry_max_s=0.1)
    metrics = ConsumerMetrics("toyreader")
    pump = Pump(TP, client, "toyreader", on_batch, options, metrics, replay_until=replay_until, listener=Listener())
    try:
        yield pump
    finally:
        pump.task.cancel()
        await asyncio.wait({pump.task})


async def test_a_replayed_batch_ends_where_it_ended_before_and_the_next_ones_at_their_limits() -> None:
    handed: list[list[int]] = []

    async def on_batch(topic: str, partition: int, records: Sequence[Received]) -> None:
        handed.append([record.offset for record in records])

    client = Client(range(2), range(2, 10), range(10, 11))
    async with pumping(client, on_batch, replay_until=5):
        await eventually(lambda: client.committed and client.committed[-1] == 11)
    assert handed[:3] == [[0, 1, 2, 3, 4, 5], [6, 7, 8], [9]]
    assert [offset for batch in handed for offset in batch] == list(range(11))


async def test_a_pump_that_leaves_finishes_and_commits_the_batch_in_hand() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def on_batch(topic: str, partition: int, records: Sequence[Received]) -> None:
        begun.set()
        await go.wait()

    client = Client(range(3), range(3, 6))
    async with pumping(client, on_batch) as pump:
        await begun.wait()
        pump.leave()
        go.set()
        await pump.task
    assert client.committed == [3]


async def test_a_pump_that_only_waits_ends_at_once() -> None:
    async def on_batch(topic: str, partition: int, records: Sequence[Received]) -> None: ...

    client = Client(range(1))
    async with pumping(client, on_batch) as pump:
        await eventually(lambda: client.committed)
        pump.leave()
        done, _ = await asyncio.wait({pump.task}, timeout=30)
        assert done and pump.task.cancelled()
