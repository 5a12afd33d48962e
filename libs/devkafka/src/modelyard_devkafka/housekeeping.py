"""Bounds memory and disk: retention, compaction, expiry of unused state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from modelyard_devkafka.errors import StorageFailed
from modelyard_devkafka.groups.coordinator import Coordinator
from modelyard_devkafka.storage.compaction import compact
from modelyard_devkafka.storage.partition import Partition, now_ms
from modelyard_devkafka.topics import Topic, Topics
from modelyard_devkafka.transactions import Transactions

log = logging.getLogger(__name__)
_PRODUCER_EXPIRATION_MS: Final = 24 * 3600 * 1000  # Kafka's producer.id.expiration.ms


class Housekeeping:
    """Visits all partitions every few seconds; compaction runs in a thread."""

    def __init__(
        self,
        topics: Topics,
        groups: Coordinator,
        transactions: Transactions,
        *,
        every_seconds: float,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._topics, self._groups, self._transactions = topics, groups, transactions
        self._every, self._clock = every_seconds, clock

    async def run(self) -> None:
        """Run until cancelled. A full disk is logged once per round."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.round()
            except (StorageFailed, OSError) as problem:
                log.warning("housekeeping not done: %s", problem)

    async def round(self) -> None:
        """Run one round over all partitions."""
        for topic in self._topics:
            for index, partition in enumerate(topic.partitions):
                partition.producers.forget_before(self._clock() - _PRODUCER_EXPIRATION_MS)
                if topic.config.deletes:
                    self._topics.advance_start(topic, index, expired_below(partition, self._clock()))
                if topic.config.compacted:
                    await compact(partition, self._clock(), partial(self._alive, topic))
        self._groups.expire()
        self._transactions.expire()

    def _alive(self, topic: Topic) -> bool:
        return any(known is topic for known in self._topics)


def expired_below(partition: Partition, now: int) -> int:
    """Return the offset below which whole segments exceed retention.ms or retention.bytes.

    The active segment is included if all its records are too old. Records of open transactions are kept.
    """
    config, below, size = partition.config, partition.log_start, partition.size
    for segment in partition.segments:
        written_ms = segment.max_timestamp_ms if segment.max_timestamp_ms >= 0 else segment.first_append_ms
        too_old = 0 <= config.retention_ms < now - written_ms
        too_many = 0 <= config.retention_bytes <= size - segment.size
        last = segment is partition.segments[-1]
        if not segment.size or not (too_old or (too_many and not last)):
            break
        if segment.next_offset > partition.last_stable_offset:
            break
        below, size = segment.next_offset, size - segment.size
    return max(below, partition.log_start)
