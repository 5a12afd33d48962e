"""From the spool to Kafka, each record exactly once.

Records and the spool's position are sent in one transaction. The transactional id belongs to the data folder: a new
process first fences its predecessor, then reads the position that it reached, and continues from there. The position is
committed as an offset of partition 0 of the prediction topic for the group `router.spool.<router_id>`; the group has no
consumers, Kafka only stores the number.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from modelyard_contracts import PredictionLogged
from modelyard_contracts.topics import topic
from modelyard_router.domain.errors import SpoolCorrupt
from modelyard_router.domain.records import TOPICS
from modelyard_router.spool.aiokafka_internals import Batch, new_batch, send_batch, stop_at_once
from modelyard_router.spool.partition import partitions_of
from modelyard_router.spool.segment import SpoolRecord
from modelyard_router.spool.spool import Spool
from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.access_errors import explain, start_client
from modelyard_runtime.kafka.topics import ensure_topics
from modelyard_runtime.wakeup import pause

POSITION: Final = TopicPartition(PredictionLogged.TOPIC, 0)
TRANSACTION_TIMEOUT_MS: Final = 15_000
BATCH_BYTES: Final = 900_000
RECORDS_PER_STEP: Final = 50
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShipperOptions:
    """Batching and retry of the shipper."""

    bootstrap: Bootstrap
    router_id: str
    interval_s: float = 0.1
    max_records: int = 2_000
    max_bytes: int = 2 << 20
    """Of one transaction."""
    give_up_s: float = 12.0
    """A transaction without an outcome after this time is left to the next producer of the same id."""
    retry_min_s: float = 0.2
    retry_max_s: float = 3.0
    final_flush_s: float = 5.0


class Shipper:
    """The only reader of a spool. `shipped` and `broker_away` are for health and metrics."""

    def __init__(self, spool: Spool, options: ShipperOptions, readiness: Readiness) -> None:
        self._spool, self._options, self._readiness = spool, options, readiness
        self.group = f"router.spool.{options.router_id}"
        self.shipped = spool.sent
        self.transactions = self.failures = 0
        self.broker_away = True
        self.reason = ""
        """Why the broker cannot be used; empty while it can."""
        self._counts: dict[str, int] = {}

    @property
    def unsent(self) -> int:
        return self._spool.next_position - self.shipped

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until `stop`, then the rest for `final_flush_s`; the next process sends records left after that."""
        pause_s = self._options.retry_min_s
        until: float | None = None
        while until is None or asyncio.get_running_loop().time() < until:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    producer = await self._connected(stack)
                    pause_s = self._options.retry_min_s
                    await self._ship_until(stop, producer)
                return
            except SpoolCorrupt:
                raise
            except Exception as error:  # a lost broker has a dozen forms; the spool holds everything
                self._failed(error)
            if stop.is_set():
                until = until or asyncio.get_running_loop().time() + self._options.final_flush_s
                if not self.unsent:
                    return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait() if until is None else asyncio.sleep(pause_s), pause_s)
            pause_s = min(pause_s * 2, self._options.retry_max_s)

    async def _ship_until(self, stop: asyncio.Event, producer: Any) -> None:
        """Return when `stop` is set and everything is sent."""
        while True:
            records = self._spool.read(self._options.max_records, self._options.max_bytes)
            if records:
                await asyncio.wait_for(self._ship(producer, records), self._options.give_up_s)
            elif stop.is_set():
                return
            if self.unsent < self._options.max_records:
                await pause(stop, self._options.interval_s)

    async def _ship(self, producer: Any, records: list[SpoolRecord]) -> None:
        """One transaction: the records and the position after the last of them."""
        position = records[-1].position + 1
        batches = await self._batches(producer, records)
        await producer.begin_transaction()
        delivered = [await send_batch(producer, batch, name, part) for name, part, batch in batches]
        await asyncio.gather(*delivered)
        await producer.send_offsets_to_transaction({POSITION: OffsetAndMetadata(position, "")}, self.group)
        await producer.commit_transaction()
        self.shipped = position
        self.transactions += 1
        self._spool.release(position)

    async def _batches(self, producer: Any, records: list[SpoolRecord]) -> list[tuple[str, int, Batch]]:
        """(topic, partition, batch), in the records' order within each partition.

        Yields to the event loop after every few records, as requests wait meanwhile.
        """
        open_: dict[tuple[str, int], Batch] = {}
        done: list[tuple[str, int, Batch]] = []
        now_ms = time.time_ns() // 1_000_000
        for start in range(0, len(records), RECORDS_PER_STEP):
            for record, where in self._placed(records[start : start + RECORDS_PER_STEP]):
                batch = open_.get(where)
                if batch is None or not batch.append(record.key, record.value, record.trace):
                    batch = open_[where] = new_batch(producer, BATCH_BYTES, now_ms)
                    batch.append(record.key, record.value, record.trace)
                    done.append((*where, batch))
            await asyncio.sleep(0)
        return done

    def _placed(self, records: list[SpoolRecord]) -> Iterator[tuple[SpoolRecord, tuple[str, int]]]:
        """Each record with its topic and partition."""
        keys = [record.key for record in records]
        parts = {kind: partitions_of(keys, self._counts[TOPICS[kind]]) for kind in {r.kind for r in records}}
        for place, record in enumerate(records):
            yield record, (TOPICS[record.kind], parts[record.kind][place])

    async def _connected(self, stack: contextlib.AsyncExitStack) -> Any:
        """A producer that has fenced its predecessors, with the spool positioned where they stopped."""
        options = self._options
        await ensure_topics(options.bootstrap, [topic(name) for name in TOPICS.values()])
        producer = AIOKafkaProducer(
            **client_settings(options.bootstrap),
            transactional_id=self.group,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=int(options.give_up_s * 1000),
            max_batch_size=BATCH_BYTES,
            max_request_size=BATCH_BYTES + 100_000,
        )
        stack.push_async_callback(stop_at_once, producer)
        await asyncio.wait_for(start_client(producer, options.bootstrap), options.give_up_s)
        # Started: it has its producer id, so older producers of this folder are fenced and their transactions ended.
        for name in TOPICS.values():
            self._counts[name] = len(await producer.partitions_for(name))
        self._resume(await self._committed())
        self.broker_away, self.reason = False, ""
        self._readiness.set("log", True, "")
        return producer

    async def _committed(self) -> int:
        """The committed position of the group, 0 if it has none."""
        consumer = AIOKafkaConsumer(
            **client_settings(self._options.bootstrap), group_id=self.group, enable_auto_commit=False
        )
        try:
            await asyncio.wait_for(start_client(consumer, self._options.bootstrap), self._options.give_up_s)
            consumer.assign([POSITION])
            return await asyncio.wait_for(consumer.committed(POSITION), self._options.give_up_s) or 0
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 2)

    def _resume(self, committed: int) -> None:
        spool = self._spool
        if committed > spool.next_position:
            raise SpoolCorrupt(
                f"{spool.folder} ends at {spool.next_position}, but {committed} records were sent from it: it was "
                "restored from an older copy. Move it elsewhere and restart with an empty folder"
            )
        # The folder's note covers the case that Kafka has lost the group (offsets expire, clusters are replaced).
        position = max(committed, spool.sent, spool.first_position)
        spool.seek(position)
        self.shipped = position
        spool.release(position)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        reason = explain(error, self._options.bootstrap)
        if reason != self.reason:
            log.warning("predictions cannot be sent, the spool keeps them: %s", reason)
        self.broker_away, self.reason = True, reason
