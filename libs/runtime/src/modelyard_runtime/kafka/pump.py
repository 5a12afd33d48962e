"""One partition of a consumer: batches of it are collected, handed on and committed, for as long as it is ours."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata

from modelyard_runtime.errors import retryable
from modelyard_runtime.kafka.bulk import NO_ROWS, rows
from modelyard_runtime.kafka.records import Received, Records
from modelyard_runtime.metrics import Metrics

BatchHandler = Callable[[str, int, Sequence[Received]], Awaitable[None]]
"""(topic, partition, records): returns when their effects are durable. It may be called with the same records again."""

POLL_MS: Final = 1_000
BATCHES_PER_POLL: Final = 16
"""The producer's batches, of one record or thousands: enough to be quick, too few to hold up the heartbeats."""
log = logging.getLogger(__name__)


class BatchFailed(Exception):
    """The first `done` records have their effects and are to be committed; `raise ... from` the error of the next."""

    def __init__(self, done: int) -> None:
        super().__init__(f"after {done} records")
        self.done = done


class PartitionLost(Exception):
    """Somebody else owns the partition now: forget it, join the group anew."""


@dataclass(frozen=True)
class Lag:
    """How far a partition's reader is behind."""

    records: int | None
    """Offsets from the oldest record that is not handled to the end; None just after the assignment."""
    oldest_ms: int | None
    """Kafka timestamp of that record, once it was fetched; None when nothing waits."""


@dataclass(frozen=True)
class PumpOptions:
    """The part of BatchConsumer's parameters that concerns a partition."""

    group: str
    on_batch: BatchHandler
    max_batch_records: int
    max_batch_bytes: int
    max_wait_s: float
    retry_min_s: float
    retry_max_s: float
    commits: bool


class ConsumerMetrics:
    """What a group tells of its work."""

    def __init__(self, group: str) -> None:
        metrics = Metrics(group.split(".")[0])
        self.handled = metrics.counter("consumer_records_total", "Records handled", ("group", "topic"))
        self.retries = metrics.counter("consumer_retries_total", "Batches tried again", ("group", "topic"))
        self.stops = metrics.gauge("consumer_partitions_stopped", "Partitions stopped by an unknown error", ("group",))
        self.lag = metrics.gauge("consumer_lag_records", "Records not handled", ("group", "topic", "partition"))


class Pump:
    """Reads one partition in a task of its own: collect a batch, hand it on, commit, again.

    replay_until: the last offset of the first batch, whatever the limits say.
    told: called when `stopped` or `waiting` has changed; broken: with the error that ends this membership of the group.
    """

    def __init__(
        self,
        tp: TopicPartition,
        client: Any,
        options: PumpOptions,
        metrics: ConsumerMetrics,
        *,
        replay_until: int | None,
        told: Callable[[], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        self.tp = tp
        self.leaving = False
        """Whether the partition is being taken away."""
        self.stopped = ""
        """Where and by which unknown error; empty while it goes on."""
        self.waiting = ""
        """For what, until a batch is tried again; empty while all is well."""
        self._client, self._options, self._metrics = client, options, metrics
        self._replay_until = replay_until
        self._told, self._broken = told, broken
        self._in_hand: Sequence[Received] = ()  # read and not handled yet
        self._waits = False
        self._resumed = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"pump {options.group} {tp}")

    def leave(self) -> None:
        """End at once where it only waits; where it works it ends after its batch."""
        self.leaving = True
        if self._waits:
            self.task.cancel()

    def resume(self) -> None:
        """Try again what stopped it."""
        self.stopped = ""
        self._resumed.set()

    def lag(self, end: int | None = None) -> Lag:
        """end: of the partition now; None takes what the last fetch told."""
        oldest = self._in_hand[0] if self._in_hand else None
        try:
            end = self._client.highwater(self.tp) if end is None else end
            next_ = oldest.offset if oldest else self._position()
        except (IllegalStateError, AssertionError, AttributeError):
            return Lag(None, None)  # just revoked
        return Lag(None if end is None else max(0, end - next_), oldest.timestamp_ms if oldest else None)

    def _position(self) -> int:
        return int(self._client._subscription.subscription.assignment.state_value(self.tp).position)

    async def _run(self) -> None:
        try:
            rest = Records(self.tp.topic, self.tp.partition)
            while not self.leaving:
                batch, rest = await self._collect(rest)
                await self._handle(batch, rest)
        except PartitionLost as error:
            log.info("consumer %s lost %s: %s", self._options.group, self.tp, error)
        except Exception as error:
            log.exception("consumer %s: client of %s failed", self._options.group, self.tp)
            self._broken(error)

    # -- a batch -------------------------------------------------------------------------------------------------------

    async def _collect(self, got: Records) -> tuple[Records, Records]:
        """The next batch, and what was read beyond it; it begins with `got`."""
        loop, max_wait_s = asyncio.get_running_loop(), self._options.max_wait_s
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
        """Handle `batch` until nothing of it is left, or the partition is; `rest` was read behind it."""
        pause_s = self._options.retry_min_s
        while batch and not self.leaving:
            done, error = await self._try(batch)
            if done and self._options.commits:
                await commit_offset(self._client, self.tp, batch[done - 1].offset + 1)
            batch = batch[done:]
            self._in_hand = batch or rest
            self._count(done)
            self._note_wait(error)
            if error is None:
                continue
            if isinstance(error, PartitionLost):
                self._broken(error)
                raise error
            if done:
                pause_s = self._options.retry_min_s
            if retryable(error):
                await self._pause(pause_s, error)
                pause_s = min(pause_s * 2, self._options.retry_max_s)
            else:
                await self._stop(batch[0].offset, error)

    async def _try(self, batch: Records) -> tuple[int, BaseException | None]:
        """How many of `batch` have their effects, and the error of the next one."""
        try:
            await self._options.on_batch(self.tp.topic, self.tp.partition, batch)
        except BatchFailed as failed:
            return failed.done, failed.__cause__
        except Exception as error:
            return 0, error
        return len(batch), None

    async def _pause(self, pause_s: float, error: BaseException) -> None:
        group = self._options.group
        log.warning("consumer %s retries %s in %.1f s: %s", group, self.tp, pause_s, error)
        self._metrics.retries.labels(group, self.tp.topic).inc()
        with self._interruptible():
            await asyncio.sleep(pause_s)

    async def _stop(self, offset: int, error: BaseException) -> None:
        """Wait, with the batch in hand, until somebody says resume; nothing is skipped."""
        log.error("consumer %s: %s stops at offset %d", self._options.group, self.tp, offset, exc_info=error)
        self.stopped = f"offset {offset}: {type(error).__name__}: {error}"
        self._resumed.clear()
        self._told()
        with self._interruptible():
            await self._resumed.wait()

    # -- what it tells -------------------------------------------------------------------------------------------------

    def _count(self, done: int) -> None:
        group = self._options.group
        self._metrics.handled.labels(group, self.tp.topic).inc(done)
        self._metrics.lag.labels(group, self.tp.topic, self.tp.partition).set(self.lag().records or 0)

    def _note_wait(self, error: BaseException | None) -> None:
        before = self.waiting
        self.waiting = str(error) if error is not None and retryable(error) else ""
        if self.waiting != before:
            self._told()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Within the block nothing is under way that `leave` would have to wait for."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False


async def commit_offset(client: Any, tp: TopicPartition, offset: int, metadata: str = "") -> None:
    """offset: the next one to read. PartitionLost when the partition is no longer ours."""
    try:
        await client.commit({tp: OffsetAndMetadata(offset, metadata)})
    except (CommitFailedError, IllegalStateError) as error:
        raise PartitionLost(f"offset {offset} not committed: {error}") from error
