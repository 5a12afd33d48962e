"""The consumer loop: batches, in order per partition, partitions side by side, offsets committed after the effect.

One task (a pump) per assigned partition: collect a batch, hand it on, commit, again. What is not handled yet stays in
the pump, so memory is bounded by one batch and one fetch per partition. A pump ends when its partition is revoked; the
group's heartbeat goes on whatever the pumps wait for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalGenerationError, KafkaError

from modelyard_contracts.topics import all_topics
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.bulk import read_in_bulk
from modelyard_runtime.kafka.dead_letters import DeadLetters
from modelyard_runtime.kafka.pump import BatchHandler, ConsumerMetrics, Lag, Pump, PumpOptions, commit_offset
from modelyard_runtime.kafka.topics import ensure_topics

PartitionsHandler = Callable[[set[tuple[str, int]]], Awaitable[None]]

NEVER_MS: Final = 2**31 - 1
CLOSE_TIMEOUT_S: Final = 10.0
LAG_TIMEOUT_S: Final = 2.0
log = logging.getLogger(__name__)


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
        self._pump_options = PumpOptions(
            group, on_batch, max_batch_records, max_batch_bytes, max_wait_ms / 1000, retry_min_s, retry_max_s, commits
        )
        self._revoke_wait_s = max_poll_interval_ms / 1000
        self._retry_min_s, self._retry_max_s = retry_min_s, retry_max_s
        self._readiness = readiness or Readiness()
        self._user_assigned, self._user_revoked = on_assigned, on_revoked
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
        self._pumps: dict[TopicPartition, Pump] = {}
        self._replay_until: dict[TopicPartition, int] = {}
        self._metrics = ConsumerMetrics(group)

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
        return {(tp.topic, tp.partition): pump.stopped for tp, pump in self._pumps.items() if pump.stopped}

    def resume(self) -> int:
        """Try the stopped partitions again; returns how many there were. To be called on the event loop."""
        stopped = [pump for pump in self._pumps.values() if pump.stopped]
        for pump in stopped:
            self.dead_letters.forget(pump.tp.topic, pump.tp.partition)
            pump.resume()
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
        return {(tp.topic, tp.partition): pump.lag(ends.get(tp)) for tp, pump in self._pumps.items()}

    async def committed(self, topic: str, partition: int) -> tuple[int, str] | None:
        """The group's committed (offset, metadata), fresh from the broker; None when there is none."""
        tp = TopicPartition(topic, partition)
        # The public method drops the metadata; the pinned version of aiokafka keeps this one.
        found = await self._client._coordinator.fetch_committed_offsets([tp])
        return (found[tp].offset, found[tp].metadata) if tp in found else None

    async def commit(self, topic: str, partition: int, offset: int, metadata: str = "") -> None:
        """Commit by hand (`offset` is the next one to read); PartitionLost when it is no longer ours."""
        await commit_offset(self._client, TopicPartition(topic, partition), offset, metadata)

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
        self._replay_until.clear()
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
            self._pumps[tp] = Pump(
                tp,
                self._client,
                self._pump_options,
                self._metrics,
                replay_until=self._replay_until.pop(tp, None),
                told=self._tell,
                broken=self._break,
            )
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

    # -- what it tells -------------------------------------------------------------------------------------------------

    def _break(self, error: BaseException) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(error)

    def _tell(self) -> None:
        pumps = self._pumps.items()
        stopped = [f"{tp.topic}[{tp.partition}] stopped at {pump.stopped}" for tp, pump in pumps if pump.stopped]
        waiting = [f"{tp.topic}[{tp.partition}] waits: {pump.waiting}" for tp, pump in pumps if pump.waiting]
        self._metrics.stops.labels(self.group).set(len(stopped))
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
