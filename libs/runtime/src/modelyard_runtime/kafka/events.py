"""Events, one at a time: decode, call the handler of their type, dead-letter what cannot be handled."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from modelyard_contracts import Message
from modelyard_contracts.codec import Codec
from modelyard_runtime.brokers import Bootstrap
from modelyard_runtime.errors import named, retryable
from modelyard_runtime.headers import correlation_of
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.consumer import BatchConsumer
from modelyard_runtime.kafka.dead_letters import DeadLetters
from modelyard_runtime.kafka.options import ConsumerOptions
from modelyard_runtime.kafka.pump import BatchFailed
from modelyard_runtime.kafka.records import Received
from modelyard_runtime.signing import Gate, NotSigned
from modelyard_runtime.tracing import CORRELATION_ID, correlated, span

MAX_RECORD_BYTES: Final = 1_048_576
EVENTS: Final = ConsumerOptions(max_wait_ms=0, max_batch_records=100)
"""Options of a consumer of events: handed on as soon as they are fetched."""


@dataclass(frozen=True)
class EventContext:
    """The record an event came in, and its correlation id."""

    received: Received
    correlation_id: UUID


Handler = Callable[[Any, EventContext], Awaitable[None] | None]
"""(message, context). It may be called with the same message again: claim its event_id with the effect."""


class EventConsumer:
    """A consumer of events. Synchronous handlers run in a thread, one at a time per partition.

    Undecodable bytes, and our own errors that are not `retryable`: a dead letter, then the next record. Retryable
    errors: again after a pause. Any other exception: the partition stops. Tombstones are skipped.

    Events of signed topics that no writer of the topic signed: never applied, a dead letter that does not count against
    the limits, as anybody who can write to the topic could stop the partition otherwise.

    gate: checks signatures; None checks nothing.
    codec: needs a lookup of schemas, without which events of a newer release are dead letters.
    """

    def __init__(
        self,
        *,
        bootstrap: Bootstrap,
        group: str,
        service: str,
        handlers: Mapping[type[Message], Handler],
        codec: Codec,
        dead_letters: DeadLetters | None = None,
        readiness: Readiness | None = None,
        options: ConsumerOptions = EVENTS,
        gate: Gate | None = None,
    ) -> None:
        self._handlers = {message.TOPIC: (message, handler) for message, handler in handlers.items()}
        self._codec, self._gate = codec, gate
        self._dead_letters = dead_letters or DeadLetters(bootstrap, service)
        self._running: dict[tuple[str, int], asyncio.Future[None]] = {}
        self.batches = BatchConsumer(
            bootstrap=bootstrap,
            group=group,
            topics=self._handlers,
            on_batch=self._on_batch,
            dead_letters=self._dead_letters,
            options=options,
            readiness=readiness,
        )
        self.group = group
        self.topics = tuple(self._handlers)
        self.resume = self.batches.resume
        self.stopped_partitions = self.batches.stopped_partitions
        self.assignment = self.batches.assignment

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`."""
        try:
            await self.batches.run(stop)
        finally:
            await self._dead_letters.close()

    async def _on_batch(self, topic: str, partition: int, records: Sequence[Received]) -> None:
        await self._previous(topic, partition)
        for done, record in enumerate(records):
            if done and self.batches.leaving(topic, partition):
                raise BatchFailed(done)
            try:
                await self._one(record)
            except Exception as error:
                raise BatchFailed(done) from error

    async def _previous(self, topic: str, partition: int) -> None:
        """Wait for the thread that a cancelled batch left running, so that order holds: threads cannot be cancelled."""
        if (running := self._running.pop((topic, partition), None)) is not None:
            await asyncio.wait({running})

    async def _one(self, record: Received) -> None:
        if record.value is None:
            return
        try:
            await self._checked(record)
        except NotSigned as error:
            await self._dead_letters.refuse(record, str(error))
        except Exception as error:
            if not named(error) or retryable(error):
                raise
            await self._dead_letters.add(record, f"{type(error).__name__}: {error}")
        else:
            self._dead_letters.good(record.topic, record.partition)

    async def again(self, record: Received) -> None:
        """Handle a record again, outside its batch. One that fails for good becomes a dead letter; Retryable is raised.

        DeadLetterLimit when no further dead letter may be written.
        """
        try:
            await self._checked(record)
        except Exception as error:
            if not isinstance(error, NotSigned) and (not named(error) or retryable(error)):
                raise
            await self._dead_letters.add(record, f"{type(error).__name__}: {error}")

    async def _checked(self, record: Received) -> None:
        if self._gate is not None:
            self._gate.check(record)
        await self._deliver(record)

    async def _deliver(self, record: Received) -> None:
        expected, handler = self._handlers[record.topic]
        headers = record.headers
        with span(f"consume {record.topic}", headers):
            message = await asyncio.to_thread(self._decode, record, expected)  # a schema may have to be fetched
            context = EventContext(record, _correlation_id(headers, message))
            with correlated(context.correlation_id):
                if inspect.iscoroutinefunction(handler):
                    await handler(message, context)
                else:
                    await self._in_thread(record, handler, message, context)

    def _decode(self, record: Received, expected: type[Message]) -> Message:
        size = len(record.value or b"")
        if size > MAX_RECORD_BYTES:
            raise Oversized(f"{size} bytes; at most {MAX_RECORD_BYTES} are read")
        return self._codec.decode(record.value, expected)

    async def _in_thread(self, record: Received, handler: Handler, message: Message, context: EventContext) -> None:
        running = asyncio.ensure_future(asyncio.to_thread(handler, message, context))
        self._running[record.topic, record.partition] = running  # type: ignore[assignment]
        again = await asyncio.shield(running)
        if inspect.isawaitable(again):
            await again


class Oversized(ValueError):
    """A record larger than any of our messages."""

    retryable = False
    code = "oversized"


def _correlation_id(headers: Mapping[str, str], message: Message) -> UUID:
    try:
        return UUID(headers[CORRELATION_ID])
    except (KeyError, ValueError):
        return correlation_of(message)
