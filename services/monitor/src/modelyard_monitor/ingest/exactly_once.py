"""Exactly-once batches: the offsets of a batch are committed as a plan before its insert, so a crash repeats it.

Choose [a, b] -> commit offset a with the plan {"b": b} -> insert under tokens made from [a, b] -> commit b + 1.
The next owner of the partition finds the plan and ends its first batch at b, regardless of its own batch limits.
"""

import gc
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiokafka.errors import KafkaError

from modelyard_monitor.domain.reports import ConsumerLag, PartitionLag
from modelyard_monitor.settings import Settings
from modelyard_runtime.clock import Clock, system_clock
from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import BatchConsumer, ConsumerOptions, DeadLetters, Lag, Received
from modelyard_runtime.log import get_logger
from modelyard_runtime.metrics import Metrics

log = get_logger(__name__)

Store = Callable[[Sequence[Received]], Awaitable[int]]
"""Makes the effects of one batch durable, repeatable with the same records; returns the number of rows."""


class ExactlyOnceIngest:
    """A BatchConsumer that commits a plan before each batch; `run` it in the background."""

    def __init__(
        self,
        *,
        settings: Settings,
        group: str,
        stores: dict[str, Store],
        dead_letters: DeadLetters,
        readiness: Readiness,
        retry_min_s: float = 0.2,
        session_timeout_ms: int = 10_000,
        clock: Clock = system_clock,
    ) -> None:
        self.stores = stores
        self._clock = clock
        self._plans: dict[tuple[str, int], tuple[int, int]] = {}
        self.stored: dict[tuple[str, int], int] = {}
        """Rows stored by this process, per partition."""
        self.reached: dict[tuple[str, int], int] = {}
        """Offset of the last record that is stored and committed, per partition."""
        self._reached_ms: dict[tuple[str, int], int] = {}
        metrics = Metrics("monitor")
        self._rows = metrics.counter("ingested_rows_total", "Rows stored in ClickHouse", ("topic",))
        self._replays = metrics.counter("replayed_batches_total", "Planned batches that were repeated", ("topic",))
        self._age = metrics.histogram("ingest_age_seconds", "Age of a batch's oldest record once stored", ("topic",))
        self.consumer = BatchConsumer(
            bootstrap=settings.brokers,
            group=group,
            topics=stores,
            on_batch=self._on_batch,
            dead_letters=dead_letters,
            options=ConsumerOptions(
                max_batch_records=settings.batch_rows,
                max_batch_bytes=settings.batch_bytes,
                max_wait_ms=int(settings.flush_s * 1000),
                max_partition_fetch_bytes=4 * 1_048_576,
                retry_min_s=retry_min_s,
                retry_max_s=2.0,
                session_timeout_ms=session_timeout_ms,
            ),
            readiness=readiness,
            on_assigned=self._on_assigned,
        )

    async def run(self, stop: Any) -> None:
        """Consume until `stop` (an asyncio.Event) is set."""
        calm_collector()
        await self.consumer.run(stop)

    async def state(self) -> ConsumerLag:
        """Return progress and lag of each partition, and the stopped partitions."""
        lags = await self.consumer.lag()
        return ConsumerLag(
            group=self.consumer.group,
            lag_records=_total(lag.records for lag in lags.values()),
            partitions=tuple(self._partition(*key, lag) for key, lag in sorted(lags.items())),
            stopped={f"{t}[{p}]": why for (t, p), why in self.consumer.stopped_partitions().items()},
        )

    def _partition(self, topic: str, partition: int, lag: Lag) -> PartitionLag:
        now_ms = int(self._clock().timestamp() * 1000)
        return PartitionLag(
            topic=topic,
            partition=partition,
            rows=self.stored.get((topic, partition), 0),
            last_offset=self.reached.get((topic, partition)),
            last_record_at=_moment(self._reached_ms.get((topic, partition))),
            lag_records=lag.records,
            lag_s=_lag_s(lag, now_ms),
        )

    async def _on_assigned(self, partitions: set[tuple[str, int]]) -> None:
        for topic, partition in partitions:
            self._plans.pop((topic, partition), None)
            found = await self.consumer.committed(topic, partition)
            last = planned_end(found[1]) if found else None
            if found and last is not None and last >= found[0]:
                log.info("repeating a planned batch", topic=topic, partition=partition, first=found[0], last=last)
                self._replays.labels(topic).inc()
                self.consumer.replay_until(topic, partition, last)

    async def _on_batch(self, topic: str, partition: int, records: Sequence[Received]) -> None:
        plan = (records[0].offset, records[-1].offset)
        if self._plans.get((topic, partition)) != plan:
            try:
                await self.consumer.commit(topic, partition, plan[0], plan_text(plan[1]))
            except KafkaError as error:
                raise BrokerAway(f"plan of {topic}[{partition}] not committed: {error}") from error
            self._plans[topic, partition] = plan
        rows = await self.stores[topic](records)
        # The consumer commits b + 1 when this returns.
        self.stored[topic, partition] = self.stored.get((topic, partition), 0) + rows
        self.reached[topic, partition] = plan[1]
        self._reached_ms[topic, partition] = records[-1].timestamp_ms
        self._rows.labels(topic).inc(rows)
        self._observe_age(topic, records)

    def _observe_age(self, topic: str, records: Sequence[Received]) -> None:
        self._age.labels(topic).observe(max(0.0, self._clock().timestamp() - records[0].timestamp_ms / 1000))


def calm_collector() -> None:
    """Run the cycle collector rarely: hundreds of thousands of records arrive and hold no cycles."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def _total(parts: Iterable[int | None]) -> int | None:
    """Return the sum; None when a part is unknown."""
    known = list(parts)
    return None if None in known else sum(part or 0 for part in known)


def _lag_s(lag: Lag, now_ms: int) -> float | None:
    """Return the age of the oldest waiting record; 0 when none waits, None while unknown."""
    if lag.records == 0:
        return 0.0
    return None if lag.oldest_ms is None else max(0.0, (now_ms - lag.oldest_ms) / 1000)


def _moment(timestamp_ms: int | None) -> datetime | None:
    """Return a Kafka timestamp; None when absent or out of range."""
    with suppress(TypeError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)  # type: ignore[operator]
    return None


def plan_text(last_offset: int) -> str:
    """Return the commit metadata of a plan."""
    return json.dumps({"v": 1, "b": last_offset}, separators=(",", ":"))


def planned_end(metadata: str) -> int | None:
    """Return the last offset of the planned batch; None without a plan, or with foreign metadata."""
    try:
        plan = json.loads(metadata) if metadata else {}
    except ValueError:
        return None
    if isinstance(plan, dict) and plan.get("v") == 1 and isinstance(plan.get("b"), int):
        return int(plan["b"])
    return None
