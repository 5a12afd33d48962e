"""The consumer loop: batches, in order per partition, partitions side by side, offsets committed after the effect.

One task (a pump) per assigned partition: collect a batch, hand it on, commit, repeat. Records that are not handled yet
stay in the pump, so memory is bounded by one batch and one fetch per partition. A pump ends when its partition is
revoked; the group's heartbeat continues whatever the pumps wait for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from modelyard_contracts.topics import all_topics
from modelyard_runtime.brokers import Bootstrap
from modelyard_runtime.errors import BrokerAway, ModelyardError
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.access_errors import denied, explain, start_client
from modelyard_runtime.kafka.aiokafka_internals import (
    commit_as_member_only,
    committed_offset,
    end_offsets,
    group_error,
    read_in_bulk,
)
from modelyard_runtime.kafka.dead_letters import DeadLetters
from modelyard_runtime.kafka.options import ConsumerOptions
from modelyard_runtime.kafka.pump import BatchHandler, ConsumerMetrics, Lag, Pump, commit_offset
from modelyard_runtime.kafka.topics import ensure_topics

PartitionsHandler = Callable[[set[tuple[str, int]]], Awaitable[None]]

CLOSE_TIMEOUT_S: Final = 10.0
LAG_TIMEOUT_S: Final = 2.0
GROUP_CHECK_S: Final = 1.0
log = logging.getLogger(__name__)


class BatchConsumer:
    """Reads `topics` as a member of `group` and hands each partition's records to `on_batch`.

    An error of `on_batch` that is `retryable`: the same records again after a pause that grows; `readiness` (check
    `consumer <group>`) stays good and reports the reason. BatchFailed: the same, from the record that it names. Any
    other error: the partition stops, `readiness` and the metric report it, the others continue; `resume()` or a restart
    tries again.

    on_assigned: called before the first batch of new partitions.
    """

    def __init__(
        self,
        *,
        bootstrap: Bootstrap,
        group: str,
        topics: Iterable[str],
        on_batch: BatchHandler,
        dead_letters: DeadLetters,
        options: ConsumerOptions | None = None,
        readiness: Readiness | None = None,
        on_assigned: PartitionsHandler | None = None,
    ) -> None:
        self.group = group
        self.topics = frozenset(topics)
        self.dead_letters = dead_letters
        self._bootstrap = bootstrap
        self._options = options or ConsumerOptions()
        self._on_batch = on_batch
        self._on_assigned = on_assigned
        self._readiness = readiness or Readiness()
        self._client: Any = None
        self._leaving_group = False
        self._broken: asyncio.Future[Any] | None = None
        self._pumps: dict[TopicPartition, Pump] = {}
        self._replay_until: dict[TopicPartition, int] = {}
        self._metrics = ConsumerMetrics(group)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`; reconnects for ever. Batches in hand are finished and committed before it returns."""
        pause_s = self._options.retry_min_s
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                try:
                    broken = await self._connect()
                    await self._until_broken(stopping, broken)
                    pause_s = self._options.retry_min_s
                except (KafkaError, ModelyardError, OSError) as error:
                    self._not_connected(error)
                finally:
                    await self._disconnect()
                await asyncio.wait({stopping}, timeout=pause_s)
                pause_s = min(pause_s * 2, self._options.retry_max_s)
        finally:
            stopping.cancel()

    async def _connect(self) -> asyncio.Future[Any]:
        await ensure_topics(self._bootstrap, [spec for spec in all_topics() if spec.name in self.topics])
        self._leaving_group = False
        broken = self._broken = asyncio.get_running_loop().create_future()
        self._client = AIOKafkaConsumer(**self._options.consumer_settings(self._bootstrap, self.group))
        await start_client(self._client, self._bootstrap)
        commit_as_member_only(self._client)
        read_in_bulk(self._client)
        self._client.subscribe(list(self.topics), listener=_Rebalances(self._assigned, self._revoked))
        self._report()
        return broken

    async def _until_broken(self, stopping: asyncio.Future[Any], broken: asyncio.Future[Any]) -> None:
        """Wait until the membership ends; raises the error when the broker denies a right."""
        while not (stopping.done() or broken.done()):
            await asyncio.wait({stopping, broken}, return_when=asyncio.FIRST_COMPLETED, timeout=GROUP_CHECK_S)
            if not self._pumps and (error := group_error(self._client)) is not None:
                self._break(error)
        if not broken.done():
            return
        if denied(broken.result()):
            raise BrokerAway(explain(broken.result(), self._bootstrap)) from broken.result()
        log.warning("consumer %s reconnects: %r", self.group, broken.result())

    async def _disconnect(self) -> None:
        self._leaving_group = True  # a rebalance may still be under way
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

    # -- state ---------------------------------------------------------------------------------------------------------

    def stopped_partitions(self) -> dict[tuple[str, int], str]:
        """Partitions that an unknown error stopped, each with the error."""
        return {(tp.topic, tp.partition): pump.stopped for tp, pump in self._pumps.items() if pump.stopped}

    def resume(self) -> int:
        """Try the stopped partitions again; returns their number. Call it on the event loop."""
        stopped = [pump for pump in self._pumps.values() if pump.stopped]
        for pump in stopped:
            self.dead_letters.forget(pump.tp.topic, pump.tp.partition)
            pump.resume()
        self._report()
        return len(stopped)

    def leaving(self, topic: str, partition: int) -> bool:
        """Whether the partition is being revoked: a handler of many records may end early, by BatchFailed."""
        pump = self._pumps.get(TopicPartition(topic, partition))
        return pump is None or pump.leaving

    def assignment(self) -> set[tuple[str, int]]:
        """Partitions that this member reads."""
        return {(tp.topic, tp.partition) for tp in self._pumps}

    async def lag(self) -> dict[tuple[str, int], Lag]:
        """Lag of each partition that this member reads; as last known when the broker does not answer in seconds."""
        partitions = list(self._pumps)
        ends: dict[TopicPartition, int] = {}
        if partitions:
            try:
                ends = await end_offsets(self._client, partitions, LAG_TIMEOUT_S)
            except (TimeoutError, KafkaError) as error:
                log.warning("consumer %s: the ends of its partitions are not known: %r", self.group, error)
        return {(tp.topic, tp.partition): await pump.lag(ends.get(tp)) for tp, pump in list(self._pumps.items())}

    # -- offsets -------------------------------------------------------------------------------------------------------

    async def committed(self, topic: str, partition: int) -> tuple[int, str] | None:
        """The group's committed (offset, metadata), from the broker; None without one."""
        found = await committed_offset(self._client, self._bootstrap, self.group, TopicPartition(topic, partition))
        return None if found is None else (found.offset, found.metadata)

    async def commit(self, topic: str, partition: int, offset: int, metadata: str = "") -> None:
        """Commit by hand (`offset` is the next one to read); PartitionLost when another member owns it."""
        await commit_offset(self._client, TopicPartition(topic, partition), offset, metadata)

    def replay_until(self, topic: str, partition: int, last_offset: int) -> None:
        """In `on_assigned`: make the first batch end at `last_offset`, whatever the limits are."""
        self._replay_until[TopicPartition(topic, partition)] = last_offset

    # -- rebalances ----------------------------------------------------------------------------------------------------

    async def _revoked(self, revoked: set[TopicPartition]) -> None:
        await self._end_pumps(revoked | set(self._pumps))

    async def _assigned(self, given: set[TopicPartition]) -> None:
        if self._leaving_group:
            return
        self._replay_until.clear()
        try:
            if self._on_assigned and given:
                await self._on_assigned({(tp.topic, tp.partition) for tp in given})
        except Exception as error:
            # Reading without the preparation of the callback would be wrong.
            log.exception("consumer %s: on_assigned failed", self.group)
            self._readiness.set(self._check, False, "taking over partitions failed; see the log")
            self._break(error)
            return
        for tp in given:
            self._pumps[tp] = self._pump(tp)
        self._report()

    def _pump(self, tp: TopicPartition) -> Pump:
        return Pump(
            tp,
            self._client,
            self.group,
            self._on_batch,
            self._options,
            self._metrics,
            replay_until=self._replay_until.pop(tp, None),
            listener=self,
        )

    async def _end_pumps(self, partitions: set[TopicPartition]) -> None:
        """End waiting pumps at once; give a batch in hand its time to finish and commit."""
        ending = {tp: pump for tp in partitions if (pump := self._pumps.get(tp))}
        for pump in ending.values():
            pump.leave()
        tasks = {pump.task for pump in ending.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._options.max_poll_interval_ms / 1000)
            for task in late:
                log.warning("consumer %s: %s was cancelled while handling a batch", self.group, task.get_name())
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
        for tp in ending:
            self._pumps.pop(tp, None)

    # -- reports -------------------------------------------------------------------------------------------------------

    def pump_changed(self) -> None:
        """Called by a pump when it stopped, waits, or continues."""
        self._report()

    def pump_broke(self, error: BaseException) -> None:
        """Called by a pump whose error ends this membership of the group."""
        self._break(error)

    def _break(self, error: BaseException) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(error)

    def _report(self) -> None:
        pumps = self._pumps.items()
        stopped = [f"{tp.topic}[{tp.partition}] stopped at {pump.stopped}" for tp, pump in pumps if pump.stopped]
        waiting = [f"{tp.topic}[{tp.partition}] waits: {pump.waiting}" for tp, pump in pumps if pump.waiting]
        self._metrics.stops.labels(self.group).set(len(stopped))
        self._readiness.set(self._check, not stopped, "; ".join(stopped or waiting))

    @property
    def _check(self) -> str:
        return f"consumer {self.group}"


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Passes rebalances on from aiokafka."""

    def __init__(
        self,
        assigned: Callable[[set[TopicPartition]], Awaitable[None]],
        revoked: Callable[[set[TopicPartition]], Awaitable[None]],
    ) -> None:
        self._assigned, self._revoked = assigned, revoked

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._revoked(set(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._assigned(set(assigned))
