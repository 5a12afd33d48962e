"""A service's own dead letters: listed newest first, and handled again by the service that refused them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.errors import Conflict
from modelyard_runtime.kafka.access_errors import start_client
from modelyard_runtime.kafka.dead_letters import DeadLetter, dead_letter_topic, letter_reader, read_letters
from modelyard_runtime.kafka.records import Received

Again = Callable[[Received], Awaitable[None]]
"""Handle a record again. A record that fails for good becomes a new dead letter; Retryable leaves it where it is."""


@dataclass(frozen=True)
class Waiting:
    """Dead letters of one topic that were not handled since. newest: the last ones, newest first."""

    topic: str
    count: int
    newest: tuple[DeadLetter, ...]
    can_resend: bool


class LetterBox:
    """Dead letters of one service. again: by topic that it reads; None where records are handled in batches only.

    Positions are those of `modelyard dead-letters`, so what one of them sends again, the other one no longer lists.
    """

    def __init__(self, bootstrap: Bootstrap, service: str, again: Mapping[str, Again | None]) -> None:
        self._bootstrap, self._service, self._again = bootstrap, service, dict(again)
        self._one_at_a_time = asyncio.Lock()

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._again)

    async def waiting(self, limit: int) -> list[Waiting]:
        """Return the topics with dead letters, each with at most `limit` of them. BrokerAway without Kafka."""
        existing = await _topics(self._bootstrap)
        names = [topic for topic in self._again if dead_letter_topic(topic, self._service) in existing]
        found = await asyncio.gather(*(self._waiting(topic, limit) for topic in names))
        return [one for one in found if one.count]

    async def _waiting(self, topic: str, limit: int) -> Waiting:
        async with letter_reader(self._bootstrap, topic, self._service) as (consumer, partition):
            if partition is None:
                return Waiting(topic, 0, (), False)
            first, end = await _span(consumer, partition)
            consumer.seek(partition, max(first, end - limit))
            letters = await read_letters(consumer, partition, limit)
            return Waiting(topic, end - first, tuple(reversed(letters)), self._again[topic] is not None)

    async def handle_again(self, topic: str, through: int, limit: int) -> int:
        """Handle the oldest letters of a topic again, up to a position in its dead letters; return their number.

        Each is marked as done before the next one; a crash between the two repeats it, and handlers drop repeats.
        """
        again = self._again[topic]
        if again is None:
            raise Conflict(
                f"records of {topic} are handled in batches and in their order; send them to the topic again with "
                f"`modelyard dead-letters resend {topic} {self._service} --apply`"
            )
        async with (
            self._one_at_a_time,
            letter_reader(self._bootstrap, topic, self._service) as (consumer, partition),
        ):
            letters = await read_letters(consumer, partition, limit) if partition else []
            due = [letter for letter in letters if letter.position <= through]
            for letter in due:
                await again(_received(letter))
                await consumer.commit({partition: OffsetAndMetadata(letter.position + 1, "")})
            return len(due)


def _received(letter: DeadLetter) -> Received:
    """The record as it came; its time is that of the letter, as the letter has no other."""
    moment_ms = int(letter.at.timestamp() * 1_000)
    place = (letter.topic, letter.partition, letter.offset)
    return Received(*place, letter.key, letter.value, tuple(letter.headers), moment_ms)


async def _span(consumer: Any, partition: TopicPartition) -> tuple[int, int]:
    """Position of the first letter that waits, and the end."""
    first = max(await consumer.position(partition), (await consumer.beginning_offsets([partition]))[partition])
    return first, (await consumer.end_offsets([partition]))[partition]


async def _topics(bootstrap: Bootstrap) -> set[str]:
    consumer = AIOKafkaConsumer(**client_settings(bootstrap))
    try:
        await start_client(consumer, bootstrap)
        return set(await consumer.topics())
    finally:
        await consumer.stop()
