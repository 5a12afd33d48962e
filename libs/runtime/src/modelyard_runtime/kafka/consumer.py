"""The consumer loop: batches, in order per partition, partitions side by side, offsets committed after the effect.

One task (a pump) per assigned partition: collect a batch, hand it on, commit, again. What is not handled yet stays in
the pump, so memory is bounded by one batch and one fetch per partition. A pump ends when its partition is revoked; the
group's heartbeat goes on whatever the pumps wait for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalGenerationError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from modelyard_contracts.topics import all_topics
from modelyard_runtime.errors import ModelyardError, retryable
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.bulk import NO_ROWS, read_in_bulk, rows
from modelyard_runtime.kafka.dead_letters import DeadLetters
from modelyard_runtime.kafka.records import Received, Records
from modelyard_runtime.kafka.topics import ensure_topics
from modelyard_runtime.metrics import Metrics

BatchHandler = Callable[[str, int, Sequence[Received]], Awaitable[None]]
"""(topic, partition, records): returns when their effects are durable. It may be called with the same records again."""
PartitionsHandler = Callable[[set[tuple[str, int]]], Awaitable[None]]

NEVER_MS: Final = 2**31 - 1
POLL_MS: Final = 1_000
BATCHES_PER_POLL: Final = 16
"""The producer's batches, of one record or thousands: enough to be quick, too few to hold up the heartbeats."""
CLOSE_TIMEOUT_S: Final = 10.0
LAG_TIMEOUT_S: Final = 2.0
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


class BatchConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Reads `topics` as a member of `group` and hands each partition's records to `on_batch`.

    An error of `on_batch` that is `retryable`: the same records again after a pause that grows from retry_min_s to
    retry_max_s; `readiness` (check `consumer <group>`) stays good and says what is waited for. BatchFailed: the same,
    from the record it names. Any other: the partition stops, `readiness` and the metric tell so, others go on;
    `resume()` or a restart tries again.

    max_batch_records, max_batch_bytes: a batch is handed on when it has reached either.
    max_wait_ms: how long a batch waits to fill after its first record; 0 hands on what is there.
    max_poll_interval_ms: how long a rebalance waits for a batch that is being handled; then it is cancelled, and
        whoever gets the partition handles it again.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        group: str,
        topics: Iterable[str],
        on_batch: BatchHandler,
        dead_letters: DeadLetters,
        max_batch_records: int = 500,
        max_batch_bytes: int = 8 * 1_048_576,
        max_wait_ms: int = 200,
        read_committed: bool = True,
        max_poll_interval_ms: int = 30_000,
        session_timeout_ms: int = 10_000,
        auto_offset_reset: str = "earliest",
        max_partition_fetch_bytes: int = 1_048_576,
        retry_min_s: float = 0.2,
        retry_max_s: float = 10.0,
        readiness: Readiness | None = None,
        on_assigned: PartitionsHandler | None = None,
        on_revoked: PartitionsHandler | None = None,
        commits: bool = True,
    ) -> None:
        self.group = group
        self.topics = frozenset(topics)
        self.dead_letters = dead_letters
        self._bootstrap = bootstrap
        self._on_batch = on_batch
        self._max_batch_records = max_batch_records
        self._max_batch_bytes = max_batch_bytes
        self._max_wait_s = max_wait_ms / 1000
        self._revoke_wait_s = max_poll_interval_ms / 1000
        self._retry_min_s, self._retry_max_s = retry_min_s, retry_max_s
        self._readiness = readiness or Readiness()
        self._user_assigned, self._user_revoked = on_assigned, on_revoked
        self._commits = commits
        self._settings: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": auto_offset_reset,
            "isolation_level": "read_committed" if read_committed else "read_uncommitted",
            "session_timeout_ms": session_timeout_ms,
            "heartbeat_interval_ms": max(100, session_timeout_ms // 3),
            # A slow handler keeps its partition: heartbeats say that we live, the pump that we work.
            "max_poll_interval_ms": NEVER_MS,
            "rebalance_timeout_ms": max_poll_interval_ms + 15_000,
            "max_partition_fetch_bytes": max_partition_fetch_bytes,
            "metadata_max_age_ms": 30_000,
            "request_timeout_ms": 40_000,
            "retry_backoff_ms": 100,
        }
        self._client: Any = None
        self._closing = False
        self._broken: asyncio.Future[Any] | None = None
        self._pumps: dict[TopicPartition, _Pump] = {}
        self._stopped: dict[TopicPartition, str] = {}
        self._waiting: dict[TopicPartition, str] = {}
        self._resumed = asyncio.Event()
        self._replay_until: dict[TopicPartition, int] = {}
        metrics = Metrics(group.split(".")[0])
        self._handled = metrics.counter("consumer_records_total", "Records handled", ("group", "topic"))
        self._retries = metrics.counter("consumer_retries_total", "Batches tried again", ("group", "topic"))
        self._stops = metrics.gauge("consumer_partitions_stopped", "Partitions stopped by an unknown error", ("group",))
        self._lag = metrics.gauge("consumer_lag_records", "Records not handled", ("group", "topic", "partition"))

    # -- life ----------------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`; reconnects for ever. In-flight batches are finished and committed before it returns."""
        pause_s = self._retry_min_s
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                try:
                    broken = await self._connect()
                    pause_s = self._retry_min_s
                    await asyncio.wait({stopping, broken}, return_when=asyncio.FIRST_COMPLETED)
                    if broken.done():
                        log.warning("consumer %s starts anew: %r", self.group, broken.result())
                except (KafkaError, ModelyardError, OSError) as error:
                    self._not_connected(error)
                finally:
                    await self._disconnect()
                await asyncio.wait({stopping}, timeout=pause_s)
                pause_s = min(pause_s * 2, self._retry_max_s)
        finally:
            stopping.cancel()

    async def _connect(self) -> asyncio.Future[Any]:
        await ensure_topics(self._bootstrap, [spec for spec in all_topics() if spec.name in self.topics])
        self._closing = False
        broken = self._broken = asyncio.get_running_loop().create_future()
        self._client = AIOKafkaConsumer(**self._settings)
        await self._client.start()
        _commit_as_member_only(self._client._coordinator)
        read_in_bulk(self._client)
        self._client.subscribe(list(self.topics), listener=self)
        self._tell()
        return broken

    async def _disconnect(self) -> None:
        self._closing = True  # a rebalance may still be on its way to us
        await self._end_pumps(set(self._pumps))
        if self._client is not None:
            try:
                await asyncio.wait_for(self._client.stop(), CLOSE_TIMEOUT_S)
            except (TimeoutError, KafkaError) as error:
                log.warning("consumer %s did not leave its group: %r", self.group, error)
        self._client = None

    def _not_connected(self, error: BaseException) -> None:
        log.warning("consumer %s cannot connect, trying again: %s", self.group, error)
        self._readiness.set(self._check, False, f"not connected: {error}")

    # -- what others may ask -------------------------------------------------------------------------------------------

    def stopped_partitions(self) -> dict[tuple[str, int], str]:
        """Partitions that an unknown error stopped, and which."""
        return {(tp.topic, tp.partition): why for tp, why in self._stopped.items()}

    def resume(self) -> int:
        """Try the stopped partitions again; returns how many there were. To be called on the event loop."""
        stopped = list(self._stopped)
        for tp in stopped:
            self.dead_letters.forget(tp.topic, tp.partition)
        self._stopped.clear()
        self._resumed.set()
        self._resumed = asyncio.Event()
        self._tell()
        return len(stopped)

    def leaving(self, topic: str, partition: int) -> bool:
        """Whether the partition is being taken away: a handler of many records may end early, by BatchFailed."""
        pump = self._pumps.get(TopicPartition(topic, partition))
        return pump is None or pump.leaving

    def assignment(self) -> set[tuple[str, int]]:
        """Partitions that this member reads now."""
        return {(tp.topic, tp.partition) for tp in self._pumps}

    async def lag(self) -> dict[tuple[str, int], Lag]:
        """Of each partition that this member reads; as last seen when the broker does not answer within seconds."""
        partitions = list(self._pumps)
        ends: dict[TopicPartition, int] = {}
        if partitions:
            try:
                ends = await asyncio.wait_for(self._client.end_offsets(partitions), LAG_TIMEOUT_S)
            except (TimeoutError, KafkaError) as error:
                log.warning("consumer %s: ends of its partitions not known: %r", self.group, error)
        return {(tp.topic, tp.partition): self._lag_of(tp, pump, ends.get(tp)) for tp, pump in self._pumps.items()}

    def _lag_of(self, tp: TopicPartition, pump: "_Pump", end: int | None = None) -> Lag:
        """end: of the partition now; None takes what the last fetch told."""
        oldest = pump.in_hand[0] if pump.in_hand else None
        try:
            end = self._client.highwater(tp) if end is None else end
            next_ = oldest.offset if oldest else self._next(tp)
        except (IllegalStateError, AssertionError, AttributeError):
            return Lag(None, None)  # just revoked
        return Lag(None if end is None else max(0, end - next_), oldest.timestamp_ms if oldest else None)

    def _next(self, tp: TopicPartition) -> int:
        return int(self._client._subscription.subscription.assignment.state_value(tp).position)

    async def committed(self, topic: str, partition: int) -> tuple[int, str] | None:
        """The group's committed (offset, metadata), fresh from the broker; None when there is none."""
        tp = TopicPartition(topic, partition)
        # The public method drops the metadata; the pinned version of aiokafka keeps this one.
        found = await self._client._coordinator.fetch_committed_offsets([tp])
        return (found[tp].offset, found[tp].metadata) if tp in found else None

    async def commit(self, topic: str, partition: int, offset: int, metadata: str = "") -> None:
        """Commit by hand (`offset` is the next one to read); PartitionLost when it is no longer ours."""
        await self._commit(TopicPartition(topic, partition), offset, metadata)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read on from `offset`; of use in `on_assigned` only."""
        self._client.seek(TopicPartition(topic, partition), offset)

    def replay_until(self, topic: str, partition: int, last_offset: int) -> None:
        """In `on_assigned`: make the first batch end exactly at `last_offset`, whatever the limits say."""
        self._replay_until[TopicPartition(topic, partition)] = last_offset

    # -- rebalances, called by aiokafka --------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        gone = set(revoked) | set(self._pumps)
        await self._end_pumps(gone)
        if self._user_revoked and gone:
            await self._user_revoked({(tp.topic, tp.partition) for tp in gone})

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        given = set(assigned)
        if self._closing:
            return
        try:
            if self._user_assigned and given:
                await self._user_assigned({(tp.topic, tp.partition) for tp in given})
        except Exception as error:
            # Reading on without what the callback should have prepared would be wrong.
            log.exception("consumer %s: on_assigned failed", self.group)
            self._readiness.set(self._check, False, f"on_assigned failed: {error!r}")
            self._break(error)
            return
        for tp in given:
            self._pumps[tp] = _Pump(asyncio.create_task(self._pump(tp), name=f"pump {self.group} {tp}"))
        self._tell()

    async def _end_pumps(self, partitions: set[TopicPartition]) -> None:
        """End what waits at once, and give what is being handled its time to finish and commit."""
        ending = {tp: pump for tp in partitions if (pump := self._pumps.get(tp))}
        for pump in ending.values():
            pump.leave()
        tasks = {pump.task for pump in ending.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._revoke_wait_s)
            for task in late:
                log.warning("consumer %s: %s was cancelled while handling a batch", self.group, task.get_name())
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
        for tp in ending:
            self._pumps.pop(tp, None)
            self._stopped.pop(tp, None)
            self._waiting.pop(tp, None)
            self._replay_until.pop(tp, None)

    # -- one partition -------------------------------------------------------------------------------------------------

    async def _pump(self, tp: TopicPartition) -> None:
        try:
            rest = Records(tp.topic, tp.partition)
            while not self._pumps[tp].leaving:
                batch, rest = await self._collect(tp, rest)
                await self._handle(tp, batch, rest)
        except asyncio.CancelledError:
            raise
        except PartitionLost as error:
            log.info("consumer %s lost %s: %s", self.group, tp, error)
        except Exception as error:
            log.exception("consumer %s: client of %s failed", self.group, tp)
            self._break(error)

    async def _collect(self, tp: TopicPartition, got: Records) -> tuple[Records, Records]:
        """The next batch, and what was read beyond it; it begins with `got`."""
        loop = asyncio.get_running_loop()
        until = self._replay_until.get(tp)
        deadline: float | None = loop.time() + self._max_wait_s if got else None
        while not self._full(got, until):
            wait_s = POLL_MS / 1000 if deadline is None or until is not None else deadline - loop.time()
            if got and wait_s <= 0:
                break
            with self._pumps[tp].interruptible():
                polled = await self._client.getmany(
                    tp, timeout_ms=max(1, int(wait_s * 1000)), max_records=BATCHES_PER_POLL
                )
            if new := rows(polled.get(tp, NO_ROWS)):
                got = self._pumps[tp].in_hand = got.plus(new)
                deadline = deadline or loop.time() + self._max_wait_s
        return self._split(tp, got, until)

    def _full(self, got: Records, until: int | None) -> bool:
        if until is not None:
            return got.last_offset >= until
        return len(got) >= self._max_batch_records or got.size_bytes >= self._max_batch_bytes

    def _split(self, tp: TopicPartition, got: Records, until: int | None) -> tuple[Records, Records]:
        if until is not None:
            self._replay_until.pop(tp, None)
            cut = sum(offset <= until for offset in got.offsets())
        else:
            cut = got.cut(self._max_batch_records, self._max_batch_bytes)
        return got[:cut], got[cut:]

    async def _handle(self, tp: TopicPartition, batch: Records, rest: Records) -> None:
        """Handle `batch` until nothing of it is left, or the partition is; `rest` was read behind it."""
        pause_s = self._retry_min_s
        while batch and not self._pumps[tp].leaving:
            done, error = await self._try(tp, batch)
            if done and self._commits:
                await self._commit(tp, batch[done - 1].offset + 1)
            self._handled.labels(self.group, tp.topic).inc(done)
            batch = batch[done:]
            pump = self._pumps[tp]
            pump.in_hand = batch or rest
            self._lag.labels(self.group, tp.topic, tp.partition).set(self._lag_of(tp, pump).records or 0)
            self._note_wait(tp, error)
            if error is None:
                continue
            if isinstance(error, PartitionLost):
                self._break(error)
                raise error
            if done:
                pause_s = self._retry_min_s
            if retryable(error):
                log.warning("consumer %s retries %s in %.1f s: %s", self.group, tp, pause_s, error)
                self._retries.labels(self.group, tp.topic).inc()
                with self._pumps[tp].interruptible():
                    await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self._retry_max_s)
            else:
                await self._stop_partition(tp, batch, error)

    async def _try(self, tp: TopicPartition, batch: Records) -> tuple[int, BaseException | None]:
        try:
            await self._on_batch(tp.topic, tp.partition, batch)
        except BatchFailed as failed:
            return failed.done, failed.__cause__
        except Exception as error:
            return 0, error
        return len(batch), None

    async def _stop_partition(self, tp: TopicPartition, batch: Records, error: BaseException) -> None:
        """Wait, with the batch in hand, until somebody says resume; nothing is skipped."""
        log.error("consumer %s: %s stops at offset %d", self.group, tp, batch[0].offset, exc_info=error)
        self._stopped[tp] = f"offset {batch[0].offset}: {type(error).__name__}: {error}"
        self._tell()
        with self._pumps[tp].interruptible():
            await self._resumed.wait()

    async def _commit(self, tp: TopicPartition, offset: int, metadata: str = "") -> None:
        try:
            await self._client.commit({tp: OffsetAndMetadata(offset, metadata)})
        except (CommitFailedError, IllegalStateError) as error:
            raise PartitionLost(f"offset {offset} not committed: {error}") from error

    def _break(self, error: BaseException) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(error)

    def _note_wait(self, tp: TopicPartition, error: BaseException | None) -> None:
        """Note what a partition waits for, if it does; the check stays good, as it goes on by itself."""
        before = self._waiting.pop(tp, None)
        if error is not None and retryable(error):
            self._waiting[tp] = str(error)
        if self._waiting.get(tp) != before:
            self._tell()

    def _tell(self) -> None:
        self._stops.labels(self.group).set(len(self._stopped))
        stopped = [f"{tp.topic}[{tp.partition}] stopped at {why}" for tp, why in self._stopped.items()]
        waiting = [f"{tp.topic}[{tp.partition}] waits: {why}" for tp, why in self._waiting.items()]
        self._readiness.set(self._check, not stopped, "; ".join(stopped or waiting))

    @property
    def _check(self) -> str:
        return f"consumer {self.group}"


def _commit_as_member_only(coordinator: Any) -> None:
    """Refuse the commits of a member that was put out of its group.

    aiokafka (0.14) forgets its member id when it learns that it was evicted, and would commit without one; once the
    others have left, a broker takes that for an offset set by hand, and the group goes back to where that one stalled.
    """
    commit = coordinator._do_commit_offsets

    async def commit_as_member(assignment: Any, offsets: Any) -> None:
        if coordinator.generation < 0 or not assignment.active:
            raise IllegalGenerationError(coordinator.group_id)
        await commit(assignment, offsets)

    coordinator._do_commit_offsets = commit_as_member


class _Pump:
    """The task of a partition; `leave` ends it where it only waits, and asks it to end where it works."""

    def __init__(self, task: "asyncio.Task[None]") -> None:
        self.task = task
        self.leaving = False
        self.in_hand: Sequence[Received] = ()
        """Read and not handled yet."""
        self._waits = False

    def interruptible(self) -> "_Pump":
        return self

    def __enter__(self) -> None:
        self._waits = True

    def __exit__(self, *_: object) -> None:
        self._waits = False

    def leave(self) -> None:
        self.leaving = True
        if self._waits:
            self.task.cancel()
