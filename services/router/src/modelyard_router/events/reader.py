"""Route tables from Kafka."""

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from modelyard_contracts import RoutePublished
from modelyard_contracts.codec import Codec
from modelyard_contracts.topics import topic
from modelyard_router.domain.counters import Counters
from modelyard_router.store.route_tables import Effect, RouteTables
from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.errors import Unavailable
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import Received
from modelyard_runtime.kafka.access_errors import explain, start_client
from modelyard_runtime.kafka.topics import ensure_topics
from modelyard_runtime.signing import Gate, NotSigned
from modelyard_runtime.wakeup import pause

RETRY_MIN_S: Final = 0.2
RETRY_MAX_S: Final = 3.0
ATTEMPT_TIMEOUT_S: Final = 15.0
READ_AGAIN_S: Final = 5.0
MAX_PROBLEMS: Final = 5
MAX_PROBLEM_CHARACTERS: Final = 300
log = logging.getLogger(__name__)


class Announces(Protocol):
    """Where the result of a route table is reported."""

    def announce(self, published: RoutePublished, *, accepted: bool, reason: str = "") -> None: ...


class RouteReader:
    """Reads the compacted topic from its start, without a consumer group: every router needs every table."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        tables: RouteTables,
        announcer: Announces,
        readiness: Readiness,
        counters: Counters,
        codec: Codec,
        gate: Gate | None = None,
    ) -> None:
        self._bootstrap, self._tables, self._announcer = bootstrap, tables, announcer
        self._readiness, self._counters, self._codec, self._gate = readiness, counters, codec, gate
        self.caught_up = False
        self.unreadable: dict[str, str] = {}
        """Key of each table whose newest record could not be decoded, and the reason."""
        self._reread_at: float | None = None
        """On the loop's clock: when to read all tables again because a schema could not be fetched."""

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop`; while the broker is unreachable the tables stay as they are."""
        pause_s = RETRY_MIN_S
        while not stop.is_set():
            try:
                await self._read(stop)
                pause_s = RETRY_MIN_S
            except Exception as error:  # a lost broker has a dozen forms; reading everything again is safe
                self._not_read(explain(error, self._bootstrap))
            await pause(stop, pause_s)
            pause_s = min(pause_s * 2, RETRY_MAX_S)

    def _not_read(self, reason: str) -> None:
        """A router that has tables serves on; one that never had any reports the reason."""
        log.warning("route tables cannot be read, keeping those in use: %s", reason)
        if not (self.caught_up or self._tables.routes):
            self._readiness.set("routes", False, f"no route table read yet: {reason}")

    async def _read(self, stop: asyncio.Event) -> None:
        await ensure_topics(self._bootstrap, [topic(RoutePublished.TOPIC)])
        consumer = AIOKafkaConsumer(
            RoutePublished.TOPIC,
            **client_settings(self._bootstrap),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        try:
            await asyncio.wait_for(start_client(consumer, self._bootstrap), ATTEMPT_TIMEOUT_S)
            partitions: Collection[TopicPartition] = consumer.assignment()
            ends = await asyncio.wait_for(consumer.end_offsets(partitions), ATTEMPT_TIMEOUT_S)
            while not stop.is_set():
                await self._read_some(consumer, ends)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 5)

    async def _read_some(self, consumer: Any, ends: dict[TopicPartition, int]) -> None:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                await self.apply(record)
        if not self.caught_up and all([await consumer.position(part) >= end for part, end in ends.items()]):
            self._catch_up()
        if self._reread_at is not None and asyncio.get_running_loop().time() >= self._reread_at:
            self._reread_at = None
            await consumer.seek_to_beginning(*ends)

    def _catch_up(self) -> None:
        self.caught_up = True
        self._report()
        for route in self._tables.routes.values():
            # Tables from the file too: the last process may have stopped before it announced them.
            self._announcer.announce(route.published, accepted=True)

    async def apply(self, record: Any) -> None:
        """Apply one Kafka record. A table whose schema cannot be fetched now is read again; others do not wait."""
        if not self._trusted(record):
            return
        if record.value is None:
            self._tables.remove((record.key or b"").decode("utf-8", "replace"))
            return
        try:
            # In a thread, as it may call the registry: requests must not wait for that.
            published = await asyncio.to_thread(self._codec.decode, record.value, RoutePublished)
        except Unavailable as error:
            self._reread_at = asyncio.get_running_loop().time() + READ_AGAIN_S
            self._skip(record, error)
        except Exception as error:  # Undecodable, or bytes of a form that the codec does not foresee
            self._skip(record, error)
        else:
            self._offer(published)

    def _trusted(self, record: Any) -> bool:
        """Whether the deployer signed it. Tombstones too: it never writes one, so that anybody could remove a route."""
        if self._gate is None:
            return True
        try:
            self._gate.check(
                Received(record.topic, record.partition, record.offset, record.key, record.value, record.headers)
            )
        except NotSigned:
            self._counters.tables["not_signed"] += 1
            return False
        return True

    def _skip(self, record: Any, error: Exception) -> None:
        """One unreadable table affects only itself; it stays in the topic until its writer replaces it."""
        self._counters.tables["unreadable"] += 1
        log.warning("route table at %s[%d]@%d: %s", record.topic, record.partition, record.offset, error)
        self.unreadable[(record.key or b"").decode("utf-8", "replace")] = str(error)
        self._report()

    def _report(self) -> None:
        """Name the tables that are not in use in the readiness; the others are served, so the router stays ready."""
        if not self.caught_up:
            return
        problems = [
            f"{name}, sequence {table.sequence}: {table.reason}" for name, table in self._tables.refused.items()
        ]
        problems += [f"{name}: {reason}" for name, reason in self.unreadable.items()]
        shown = "; ".join(problem[:MAX_PROBLEM_CHARACTERS] for problem in problems[:MAX_PROBLEMS])
        self._readiness.set("routes", True, f"not in use: {shown}" if problems else "")

    def _offer(self, published: RoutePublished) -> None:
        self.unreadable.pop(published.route, None)
        offered = self._tables.offer(published)
        self._report()
        self._counters.tables[offered.effect] += 1
        if offered.effect is Effect.APPLIED:
            log.info("route %s, sequence %d applied", published.route, published.sequence)
        if offered.effect is not Effect.STALE and (self.caught_up or offered.effect is Effect.REFUSED):
            accepted = offered.effect is Effect.APPLIED
            self._announcer.announce(published, accepted=accepted, reason=offered.reason)
