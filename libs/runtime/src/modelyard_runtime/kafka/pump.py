"""One partition of a consumer: its batches are collected, handed on and committed, while it is assigned."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata

from modelyard_runtime.errors import retryable
from modelyard_runtime.kafka.aiokafka_internals import NO_ROWS, rows
from modelyard_runtime.kafka.options import ConsumerOptions
from modelyard_runtime.kafka.records import Received, Records
from modelyard_runtime.metrics import Metrics

BatchHandler = Callable[[str, int, Sequence[Received]], Awaitable[None]]
"""(topic, partition, records): returns when their effects are durable. It may be called with the same records again."""

POLL_MS: Final = 1_000
BATCHES_PER_POLL: Final = 16
"""Batches of the producer, of one record or thousands: enough for throughput, few enough for the heartbeats."""
POSITION_TIMEOUT_S: Final = 1.0
log = logging.getLogger(__name__)


class BatchFailed(Exception):
    """The first `done` records have their effects and can be committed; `raise ... from` the error of the next one."""

    def __init__(self, done: int) -> None:
        super().__init__(f"after {done} records")
        self.done = done


class PartitionLost(Exception):
    """Another member owns the partition now: drop it and join the group again."""


@dataclass(frozen=True)
class Lag:
    """Records between a partition's reader and its end."""

    records: int | None
    """Offsets from the oldest record that is not fully handled; None just after the assignment."""
    oldest_ms: int | None
    """Kafka timestamp of that record, once it was fetched; None when nothing waits."""


class PumpListener(Protocol):
    """The consumer, as its pumps see it."""

    def pump_changed(self) -> None: ...

    def pump_broke(self, error: BaseException) -> None: ...


class ConsumerMetrics:
    """Metrics of one group."""

    def __init__(self, group: str) -> None:
        metrics = Metrics(group.split(".")[0])
        self.handled = metrics.counter("consumer_records_total", "Records handled", ("group", "topic"))
        self.retries = metrics.counter("consumer_retries_total", "Batches tried again", ("group", "topic"))
        self.stops = metrics.gauge("consumer_partitions_stopped", "Partitions stopped by an unknown error", ("group",))
        self.lag = metrics.gauge("consumer_lag_records", "Records not handled", ("group", "topic", "partition"))


class Pump:
    """Reads one partition in a task of its own: collect a batch, hand it on, commit, repeat.

    replay_until: the last offset of the first batch, whatever the limits are.
    """

    def __init__(
        self,
        tp: TopicPartition,
        client: Any,
        group: str,
        on_batch: BatchHandler,
        options: ConsumerOptions,
        metrics: ConsumerMetrics,
        *,
        replay_until: int | None,
        listener: PumpListener,
    ) -> None:
        self.tp = tp
        self.leaving = False
        """Whether the partition is being revoked."""
        self.stopped = ""
        """Offset and error that stopped it; empty while it runs."""
        self.waiting = ""
        """Reason for which a batch will be tried again; empty while all is well."""
        self._client, self._group, self._on_batch = client, group, on_batch
        self._options, self._metrics, self._listener = options, metrics, listener
        self._replay_until = replay_until
        self._in_hand: Sequence[Received] = ()  # read and not handled yet
        self._waits = False
        self._resumed = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"pump {group} {tp}")

    def leave(self) -> None:
        """End at once if it waits, else after the batch in hand."""
        self.leaving = True
        if self._waits:
            self.task.cancel()

    def resume(self) -> None:
        """Try the record that stopped it again."""
        self.stopped = ""
        self._resumed.set()

    async def lag(self, end: int | None = None) -> Lag:
        """Lag to `end`, the end of the partition; None takes the end that the last fetch reported."""
        oldest = self._in_hand[0] if self._in_hand else None
        try:
            end = self._client.highwater(self.tp) if end is None else end
            async with asyncio.timeout(POSITION_TIMEOUT_S):
                next_ = oldest.offset if oldest else await self._client.position(self.tp)
        except (IllegalStateError, AssertionError, TimeoutError):
            return Lag(None, None)  # just revoked
        return Lag(None if end is None else max(0, end - next_), oldest.timestamp_ms if oldest else None)

    async def _run(self) -> None:
        try:
            rest = Records(self.tp.topic, self.tp.partition)
            while not self.leaving:
                batch, rest = await self._collect(rest)
                await self._handle(batch, rest)
        except PartitionLost as error:
            log.info("consumer %s lost %s: %s", self._group, self.tp, error)
        except Exception as error:
            log.exception("consumer %s: the client of %s failed", self._group, self.tp)
            self._listener.pump_broke(error)

    # -- a batch -------------------------------------------------------------------------------------------------------

    async def _collect(self, got: Records) -> tuple[Records, Records]:
        """Return the next batch, which starts with `got`, and the records read after it."""
        loop, max_wait_s = asyncio.get_running_loop(), self._options.max_wait_ms / 1000
        deadline: float | None = loop.time() + max_wait_s if got else None
        while not self._full(got):
            wait_s = POLL_MS / 1000 if deadline is None or self._replay_until is not None else deadline - loop.time()
            if got and wait_s <= 0:
                break
            with self._interruptible():
                polled = await self._client.getmany(
                    self.tp, timeout_ms=max(1, int(wait_s * 1000)), max_records=BATCHES_PER_POLL
                )
            if new := rows(polled.get(self.tp, NO_ROWS)):
                got = self._in_hand = got.plus(new)
                deadline = deadline or loop.time() + max_wait_s
        return self._split(got)

    def _full(self, got: Records) -> bool:
        if self._replay_until is not None:
            return got.last_offset >= self._replay_until
        return len(got) >= self._options.max_batch_records or got.size_bytes >= self._options.max_batch_bytes

    def _split(self, got: Records) -> tuple[Records, Records]:
        until, self._replay_until = self._replay_until, None
        if until is not None:
            cut = sum(offset <= until for offset in got.offsets())
        else:
            cut = got.cut(self._options.max_batch_records, self._options.max_batch_bytes)
        return got[:cut], got[cut:]

    async def _handle(self, batch: Records, rest: Records) -> None:
        """Handle `batch` until it is done or the partition is revoked; `rest` was read after it."""
        pause_s = self._options.retry_min_s
        while batch and not self.leaving:
            done, error = await self._try(batch)
            if done:
                await commit_offset(self._client, self.tp, batch[done - 1].offset + 1)
            batch = batch[done:]
            self._in_hand = batch or rest
            await self._count(done)
            self._note_wait(error)
            if error is None:
                continue
            if isinstance(error, PartitionLost):
                self._listener.pump_broke(error)
                raise error
            if done:
                pause_s = self._options.retry_min_s
            if retryable(error):
                await self._pause(pause_s, error)
                pause_s = min(pause_s * 2, self._options.retry_max_s)
            else:
                await self._stop(batch[0].offset, error)

    async def _try(self, batch: Records) -> tuple[int, BaseException | None]:
        """Return how many records of `batch` have their effects, and the error of the next one."""
        try:
            await self._on_batch(self.tp.topic, self.tp.partition, batch)
        except BatchFailed as failed:
            return failed.done, failed.__cause__
        except Exception as error:
            return 0, error
        return len(batch), None

    async def _pause(self, pause_s: float, error: BaseException) -> None:
        log.warning("consumer %s retries %s in %.1f s: %s", self._group, self.tp, pause_s, error)
        self._metrics.retries.labels(self._group, self.tp.topic).inc()
        with self._interruptible():
            await asyncio.sleep(pause_s)

    async def _stop(self, offset: int, error: BaseException) -> None:
        """Wait for `resume` with the batch in hand; no record is skipped."""
        log.error("consumer %s: %s stops at offset %d", self._group, self.tp, offset, exc_info=error)
        self.stopped = f"offset {offset}: {type(error).__name__}: {error}"
        self._resumed.clear()
        self._listener.pump_changed()
        with self._interruptible():
            await self._resumed.wait()

    # -- reports -------------------------------------------------------------------------------------------------------

    async def _count(self, done: int) -> None:
        self._metrics.handled.labels(self._group, self.tp.topic).inc(done)
        lag = await self.lag()
        self._metrics.lag.labels(self._group, self.tp.topic, self.tp.partition).set(lag.records or 0)

    def _note_wait(self, error: BaseException | None) -> None:
        before = self.waiting
        self.waiting = str(error) if error is not None and retryable(error) else ""
        if self.waiting != before:
            self._listener.pump_changed()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Mark a block in which `leave` may cancel the task."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False


async def commit_offset(client: Any, tp: TopicPartition, offset: int, metadata: str = "") -> None:
    """Commit `offset`, the next one to read. PartitionLost when another member owns the partition."""
    try:
        await client.commit({tp: OffsetAndMetadata(offset, metadata)})
    except (CommitFailedError, IllegalStateError) as error:
        raise PartitionLost(f"offset {offset} not committed: {error}") from error
