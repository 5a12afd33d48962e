"""What the router uses of aiokafka beyond its public API, in one place.

Written for aiokafka 0.12 to 0.14. Two things are needed: a batch that was encoded here can be handed to `send_batch`
(aiokafka compresses lz4 at level 9, which costs more CPU than the rest of shipping together and saves 1.5 to 3 % of
size), and a producer can be stopped without waiting for batches that its successor sends again. When aiokafka changes,
`new_batch` and `stop_at_once` use the public API, at that cost; test_kafka_internals.py fails then.
"""

import asyncio
import contextlib
import inspect
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from modelyard_router.spool.record_batch import RecordBatch

BUILDER_METHODS: Final = {
    "append",
    "close",
    "record_count",
    "size",
    "closed",
    "_set_producer_state",
    "_build",
    "_serialize",
}
"""All methods of aiokafka's BatchBuilder; another one would mean that `send_batch` needs more of a batch."""
STOP_S: Final = 2.0


class Batch(Protocol):
    """Records of one partition."""

    def append(self, key: bytes, value: bytes, trace: bytes) -> bool:
        """Whether it had room."""


class PrebuiltBatch(RecordBatch):
    """A batch encoded by the router, with the methods that aiokafka's sender calls."""

    def size(self) -> int:
        return self.size_bytes()

    def close(self) -> None:
        """Nothing is appended once it is sent."""

    def closed(self) -> bool:
        return True

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self.set_producer(producer_id, producer_epoch, base_sequence)

    def _build(self) -> Any:
        return self.encoded()


class _PublicBatch:
    """The same over aiokafka's own builder."""

    def __init__(self, builder: Any, now_ms: int) -> None:
        self.builder, self._now_ms = builder, now_ms

    def append(self, key: bytes, value: bytes, trace: bytes) -> bool:
        headers = [("traceparent", trace)] if trace else []
        return self.builder.append(timestamp=self._now_ms, key=key, value=value, headers=headers) is not None


def changed_internals() -> set[str]:
    """Methods that aiokafka's BatchBuilder has and PrebuiltBatch does not expect, or the other way round."""
    found = {name for name, _ in inspect.getmembers(BatchBuilder, inspect.isfunction) if name != "__init__"}
    return found ^ BUILDER_METHODS


_PREBUILT: Final = not changed_internals()


def new_batch(producer: AIOKafkaProducer, max_bytes: int, now_ms: int, *, prebuilt: bool = _PREBUILT) -> Batch:
    """An empty batch for `send_batch`. now_ms: the time of its records, milliseconds since 1970."""
    return PrebuiltBatch(max_bytes, now_ms) if prebuilt else _PublicBatch(producer.create_batch(), now_ms)


async def send_batch(producer: AIOKafkaProducer, batch: Batch, topic: str, partition: int) -> Any:
    """Queue a batch; the future that is returned ends with its delivery."""
    builder = batch.builder if isinstance(batch, _PublicBatch) else batch
    return await producer.send_batch(builder, topic, partition=partition)


async def stop_at_once(producer: Any) -> None:
    """Stop without waiting for batches that the next producer of the same transactional id sends again."""
    sender = getattr(producer, "_sender", None)
    if sender is None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(producer.stop(), STOP_S)
        return
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await asyncio.wait_for(sender.close(), STOP_S)
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer.client.close(), STOP_S)
    producer._closed = True
