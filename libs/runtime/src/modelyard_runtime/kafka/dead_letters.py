"""Dead letters: records that one reader could not handle, bounded, each with its reason; a command resends them."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.clock import Clock, system_clock
from modelyard_runtime.errors import BrokerAway, ModelyardError
from modelyard_runtime.kafka.access_errors import explain, start_client
from modelyard_runtime.kafka.producer import Producer
from modelyard_runtime.kafka.records import RawHeaders, Received
from modelyard_runtime.kafka.topics import DEAD_LETTER_CONFIG, create_topics
from modelyard_runtime.metrics import Metrics

WINDOW_RECORDS: Final = 1_000
MAX_LETTER_BYTES: Final = 15 * 1_048_576
REASON_CHARS: Final = 1_000
PREFIX: Final = "dlq_"
FORGED_PER_MINUTE: Final = 60
MINUTE_S: Final = 60.0
log = logging.getLogger(__name__)


class DeadLetterLimit(Exception):
    """Too many in a row, or one could not be written: the partition must stop, as no record may be dropped.

    Not a ModelyardError: the consumer loop must treat it as an unknown exception.
    """


@dataclass(frozen=True)
class DeadLetter:
    """A record with the reason why it could not be handled."""

    topic: str
    partition: int
    offset: int
    reason: str
    schema_id: int | None
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: RawHeaders
    position: int
    """Its own offset in the topic of dead letters."""


def dead_letter_topic(topic: str, service: str) -> str:
    return f"{topic}.{service}.dlq"


class DeadLetters:
    """Writes a service's dead letters, and counts them per partition against the limits.

    max_consecutive: this many in a row, without a handled record between them, stop the partition.
    max_ratio: a larger share of the last 1,000 records stops it too (once 2 x max_consecutive were seen).
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        service: str,
        max_consecutive: int = 100,
        max_ratio: float = 0.5,
        *,
        clock: Clock = system_clock,
        write_timeout_s: float = 30.0,
    ) -> None:
        self._bootstrap = bootstrap
        self.service = service
        self._max_consecutive = max_consecutive
        self._max_ratio = max_ratio
        self._clock = clock
        self._write_timeout_s = write_timeout_s
        self._producer: Producer | None = None
        self._created: set[str] = set()
        self._tallies: dict[tuple[str, int], _Tally] = {}
        self._written = Metrics(service).counter("dead_letters_total", "Records dead-lettered", ("topic",))

    async def refuse(self, received: Received, reason: str) -> None:
        """Write a dead letter of a record that no writer of its topic signed; it never stops the partition.

        At most FORGED_PER_MINUTE per partition are written, so that a flood costs neither the disk nor the time of the
        records after it; the others are counted only. Our own writers stay far below it.
        """
        if not self._tally(received.topic, received.partition).may_keep_forged(time.monotonic()):
            return
        try:
            await asyncio.wait_for(self._write(received, reason), self._write_timeout_s)
        except (ModelyardError, TimeoutError) as error:
            log.warning("%r was refused (%s) and is not kept as a dead letter: %r", received, reason, error)
        else:
            self._written.labels(received.topic).inc()

    async def add(self, received: Received, reason: str) -> None:
        """Write a dead letter and wait for its acknowledgement. DeadLetterLimit past a limit or if it fails."""
        tally = self._tally(received.topic, received.partition)
        if why := tally.refuses(self._max_consecutive, self._max_ratio):
            raise DeadLetterLimit(f"{received!r} not dead-lettered, {why}; its reason: {reason}")
        try:
            await asyncio.wait_for(self._write(received, reason), self._write_timeout_s)
        except (ModelyardError, TimeoutError) as error:
            raise DeadLetterLimit(f"dead letter of {received!r} could not be written: {error!r}") from error
        tally.count(good=False)
        self._written.labels(received.topic).inc()

    def good(self, topic: str, partition: int, records: int = 1) -> None:
        """Count records that were handled: they end a series of dead letters."""
        self._tally(topic, partition).count(good=True, records=records)

    def forget(self, topic: str, partition: int) -> None:
        """Reset the counts of a partition, when it is resumed."""
        self._tallies.pop((topic, partition), None)

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def _write(self, received: Received, reason: str) -> None:
        name = dead_letter_topic(received.topic, self.service)
        if name not in self._created:
            await create_topics(self._bootstrap, {name: (1, DEAD_LETTER_CONFIG)})
            self._created.add(name)
        if self._producer is None:
            self._producer = Producer(self._bootstrap, self.service, max_request_bytes=MAX_LETTER_BYTES)
        headers = [*received.raw_headers, *_letter_headers(received, reason, self.service, self._clock())]
        await self._producer.send_bytes(name, received.key_bytes, received.value or b"", headers)

    def _tally(self, topic: str, partition: int) -> "_Tally":
        return self._tallies.setdefault((topic, partition), _Tally())


class _Tally:
    def __init__(self) -> None:
        self._in_a_row = 0
        self._bad = 0
        self._window: deque[bool] = deque()
        self._forged_from, self._forged = 0.0, 0

    def refuses(self, max_consecutive: int, max_ratio: float) -> str:
        if self._in_a_row >= max_consecutive:
            return f"{self._in_a_row} in a row already"
        if len(self._window) >= 2 * max_consecutive and self._bad / len(self._window) > max_ratio:
            return f"{self._bad} of the last {len(self._window)} already"
        return ""

    def may_keep_forged(self, now: float) -> bool:
        """Whether another one may be written in the present minute."""
        if now - self._forged_from >= MINUTE_S or not self._forged:
            self._forged_from, self._forged = now, 0
        self._forged += 1
        return self._forged <= FORGED_PER_MINUTE

    def count(self, *, good: bool, records: int = 1) -> None:
        self._in_a_row = 0 if good else self._in_a_row + records
        for _ in range(min(records, WINDOW_RECORDS)):
            self._window.append(good)
            self._bad += not good
            if len(self._window) > WINDOW_RECORDS:
                self._bad -= not self._window.popleft()


def _letter_headers(received: Received, reason: str, service: str, at: datetime) -> RawHeaders:
    value = received.value or b""
    schema = str(int.from_bytes(value[1:5], "big")) if value[:1] == b"\x00" and len(value) >= 5 else ""
    fields = {
        "topic": received.topic,
        "partition": str(received.partition),
        "offset": str(received.offset),
        "reason": reason[:REASON_CHARS],
        "schema_id": schema,
        "service": service,
        "at": at.isoformat(),
        "tombstone": "1" if received.value is None else "",
    }
    return [(PREFIX + name, text.encode()) for name, text in fields.items()]


async def list_dead_letters(bootstrap: Bootstrap, topic: str, service: str, limit: int = 100) -> list[DeadLetter]:
    """The oldest dead letters that were not resent yet; [] without such a topic."""
    async with letter_reader(bootstrap, topic, service) as (consumer, partition):
        return await read_letters(consumer, partition, limit) if partition else []


async def resend_dead_letters(bootstrap: Bootstrap, topic: str, service: str, limit: int = 100) -> int:
    """Send the oldest dead letters back to their topic and mark them as resent; returns their number.

    All readers of the topic get them again, and drop those they know by event_id. A crash midway repeats some.
    """
    async with letter_reader(bootstrap, topic, service) as (consumer, partition):
        letters = await read_letters(consumer, partition, limit) if partition else []
        producer = Producer(bootstrap, service, max_request_bytes=MAX_LETTER_BYTES)
        try:
            for letter in letters:
                again = [*letter.headers, ("dlq_resent_by", service.encode())]
                await producer.send_bytes(letter.topic, letter.key, letter.value, again)
                await consumer.commit({partition: OffsetAndMetadata(letter.position + 1, "")})
        finally:
            await producer.stop()
        return len(letters)


@asynccontextmanager
async def letter_reader(
    bootstrap: Bootstrap, topic: str, service: str
) -> AsyncIterator[tuple[Any, TopicPartition | None]]:
    """Open a consumer at the oldest letter that was not resent, with its partition; None without such a topic."""
    name = dead_letter_topic(topic, service)
    consumer = AIOKafkaConsumer(
        **client_settings(bootstrap),
        group_id=f"{name}.resend",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await start_client(consumer, bootstrap)
        partition = TopicPartition(name, 0) if name in await consumer.topics() else None
        if partition:
            consumer.assign([partition])
        yield consumer, partition
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"Kafka at {bootstrap}: {explain(error, bootstrap)}") from error
    finally:
        await consumer.stop()


async def read_letters(consumer: Any, partition: TopicPartition, limit: int) -> list[DeadLetter]:
    """Read at most `limit` letters from the consumer's position on, oldest first; a repeated one once."""
    end = (await consumer.end_offsets([partition]))[partition]
    seen: set[tuple[str, int, int]] = set()
    letters: list[DeadLetter] = []
    while len(letters) < limit and await consumer.position(partition) < end:
        for records in (await consumer.getmany(partition, timeout_ms=1_000, max_records=limit)).values():
            for letter in map(_letter, records):
                where = (letter.topic, letter.partition, letter.offset)
                if where not in seen and len(letters) < limit:  # a crash between letter and commit wrote it twice
                    seen.add(where)
                    letters.append(letter)
    return letters


def _letter(record: Any) -> DeadLetter:
    fields = {name[len(PREFIX) :]: value.decode() for name, value in record.headers if name.startswith(PREFIX)}
    return DeadLetter(
        topic=fields["topic"],
        partition=int(fields["partition"]),
        offset=int(fields["offset"]),
        reason=fields["reason"],
        schema_id=int(fields["schema_id"]) if fields["schema_id"] else None,
        at=datetime.fromisoformat(fields["at"]).astimezone(UTC),
        key=record.key,
        value=None if fields["tombstone"] else record.value,
        headers=[(name, value) for name, value in record.headers if not name.startswith(PREFIX)],
        position=record.offset,
    )
