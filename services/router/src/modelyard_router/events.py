"""Route tables from Kafka, and the word that they are applied."""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from modelyard_contracts import RouteApplied, RoutePublished, derived_id
from modelyard_contracts.codec import Codec, Undecodable
from modelyard_contracts.topics import topic
from modelyard_router.metrics import RouterMetrics
from modelyard_router.tables import Effect, RouteTables
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import ModelyardError, Unavailable
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import Producer
from modelyard_runtime.kafka.aiokafka_internals import partitions_of
from modelyard_runtime.kafka.topics import ensure_topics
from modelyard_runtime.wakeup import pause

RETRY_MIN_S: Final = 0.2
RETRY_MAX_S: Final = 3.0
ATTEMPT_TIMEOUT_S: Final = 15.0
READ_AGAIN_S: Final = 5.0
log = logging.getLogger(__name__)


class RouteReader:
    """Reads the compacted topic from its beginning, without a group: every router needs every table."""

    def __init__(
        self,
        bootstrap: str,
        tables: RouteTables,
        announcer: "Announcer",
        readiness: Readiness,
        metrics: RouterMetrics,
        codec: Codec,
    ) -> None:
        self._bootstrap, self._tables, self._announcer = bootstrap, tables, announcer
        self._readiness, self._metrics, self._codec = readiness, metrics, codec
        self.caught_up = False
        self._again_at: float | None = None
        """On the loop's clock: when to read all tables again, for one whose schema could not be asked for."""

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop`; while the broker is away the tables stay as they are."""
        pause_s = RETRY_MIN_S
        while not stop.is_set():
            try:
                await self._read(stop)
                pause_s = RETRY_MIN_S
            except Exception as error:  # the broker is away in one of a dozen ways; reading all again is safe
                log.warning("route tables cannot be read, keeping those we have: %s: %s", type(error).__name__, error)
            await pause(stop, pause_s)
            pause_s = min(pause_s * 2, RETRY_MAX_S)

    async def _read(self, stop: asyncio.Event) -> None:
        await ensure_topics(self._bootstrap, [topic(RoutePublished.TOPIC)])
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False
        )
        try:
            await asyncio.wait_for(consumer.start(), ATTEMPT_TIMEOUT_S)
            places = await self._assign(consumer)
            ends = await asyncio.wait_for(consumer.end_offsets(places), ATTEMPT_TIMEOUT_S)
            while not stop.is_set():
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        await self._apply(record)
                if not self.caught_up:
                    positions = [await consumer.position(place) >= end for place, end in ends.items()]
                    self._caught_up(all(positions))
                if self._again_at is not None and asyncio.get_running_loop().time() >= self._again_at:
                    self._again_at = None
                    await consumer.seek_to_beginning(*places)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 5)

    async def _assign(self, consumer: Any) -> list[TopicPartition]:
        name = RoutePublished.TOPIC
        places = [TopicPartition(name, partition) for partition in await partitions_of(consumer, self._bootstrap, name)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        return places

    def _caught_up(self, yes: bool) -> None:
        if yes:
            self.caught_up = True
            self._readiness.set("routes", True, "")
            for route in self._tables.routes.values():
                # Also those from the file: the word for them may have been lost with the last process.
                self._announcer.say(route.published, accepted=True)

    async def _apply(self, record: Any) -> None:
        """One whose schema only the registry has, which is away, does not hold up the others: it is read again."""
        if record.value is None:
            self._tables.remove((record.key or b"").decode("utf-8", "replace"))
            return
        try:
            # In a thread, as it may ask the registry: requests are not to wait for that.
            published = await asyncio.to_thread(self._codec.decode, record.value, RoutePublished)
        except (Undecodable, Unavailable) as error:
            if isinstance(error, Unavailable):
                self._again_at = asyncio.get_running_loop().time() + READ_AGAIN_S
            self._metrics.tables["unreadable"] += 1
            log.warning("route table at %s[%d]@%d: %s", record.topic, record.partition, record.offset, error)
            return
        offered = self._tables.offer(published)
        self._metrics.tables[offered.effect] += 1
        if offered.effect is Effect.APPLIED:
            log.info("route %s, sequence %d applied", published.route, published.sequence)
        if offered.effect is not Effect.STALE and (self.caught_up or offered.effect is Effect.REFUSED):
            self._announcer.say(published, accepted=offered.effect is Effect.APPLIED, reason=offered.reason)


class Announcer:
    """Sends RouteApplied, in order, until Kafka has it. A repeat has the same event id, so readers drop it."""

    def __init__(self, bootstrap: str, router_id: str, clock: Clock) -> None:
        self._bootstrap, self._router_id, self._clock = bootstrap, router_id, clock
        self._waiting: deque[RouteApplied] = deque()
        self._wake = asyncio.Event()

    def say(self, published: RoutePublished, *, accepted: bool, reason: str = "") -> None:
        self._waiting.append(
            RouteApplied(
                event_id=derived_id("route-applied", self._router_id, published.route, published.sequence, accepted),
                occurred_at=self._clock(),
                correlation_id=published.correlation_id,
                cause_id=published.event_id,
                route=published.route,
                model=published.model,
                sequence=published.sequence,
                router_id=self._router_id,
                accepted=accepted,
                reason=reason,
            )
        )
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        producer = Producer(self._bootstrap, "router", request_timeout_ms=10_000)
        stopped = asyncio.ensure_future(stop.wait())
        pause_s = RETRY_MIN_S
        try:
            await ensure_topics_when_there(self._bootstrap, stop)
            while not stop.is_set():
                woken = asyncio.ensure_future(self._wake.wait())
                await asyncio.wait({woken, stopped}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                self._wake.clear()
                while self._waiting and not stop.is_set():
                    try:
                        await producer.send(self._waiting[0])
                        self._waiting.popleft()
                        pause_s = RETRY_MIN_S
                    except ModelyardError as error:
                        log.warning("route.applied cannot be sent yet: %s", error)
                        await asyncio.wait({stopped}, timeout=pause_s)
                        pause_s = min(pause_s * 2, RETRY_MAX_S)
        finally:
            stopped.cancel()
            await producer.stop()


async def ensure_topics_when_there(bootstrap: str, stop: asyncio.Event) -> None:
    """Make the answer's topic as soon as the broker can be reached."""
    pause_s = RETRY_MIN_S
    while not stop.is_set():
        try:
            await ensure_topics(bootstrap, [topic(RouteApplied.TOPIC)])
            return
        except ModelyardError:
            await pause(stop, pause_s)
            pause_s = min(pause_s * 2, RETRY_MAX_S)
