"""What every batch has in common: its token, its offsets, its dead letters, its slices."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from modelyard_contracts import OffsetRange, SliceSummarised
from modelyard_monitor.domain.ports import Sender
from modelyard_monitor.ingest.decode import BadRecord
from modelyard_runtime.kafka import Received
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

TOKEN_VERSION: Final = "v1"  # noqa: S105  a prefix of deduplication tokens, not a secret


class DeadLetterBox(Protocol):
    """The part of modelyard_runtime.kafka.DeadLetters in use."""

    async def add(self, received: Received, reason: str) -> None: ...

    async def refuse(self, received: Received, reason: str) -> None: ...

    def good(self, topic: str, partition: int, records: int = 1) -> None: ...


class PartitionLocks:
    """One lock per partition of labels: labels on arrival and late ones are counted one after the other.

    Otherwise both could find that no label of a prediction is counted yet, and count theirs.
    """

    def __init__(self) -> None:
        self._locks: dict[int, asyncio.Lock] = {}

    def of(self, partition: int) -> asyncio.Lock:
        return self._locks.setdefault(partition, asyncio.Lock())


def token_of(records: Sequence[Received]) -> str:
    """Return the deduplication token of a batch, from its place in Kafka; the store appends the table."""
    first, last = records[0], records[-1]
    return f"{TOKEN_VERSION}:{first.topic}:{first.partition}:{first.offset}:{last.offset}"


def covers_of(records: Sequence[Received]) -> OffsetRange:
    """Return the offsets of a batch."""
    first, last = records[0], records[-1]
    return OffsetRange(topic=first.topic, partition=first.partition, first_offset=first.offset, last_offset=last.offset)


async def send_all(slices: Iterable[SliceSummarised], sender: Sender) -> None:
    """Send the slices of a batch concurrently, and wait for all acknowledgements."""
    await asyncio.gather(*(sender.send(message) for message in slices))


async def bury(bad: Sequence[BadRecord], dead_letters: DeadLetterBox) -> None:
    """Dead-letter unreadable records. A replay repeats them; readers recognise them by topic, partition and offset."""
    for one in bad:
        if one.forged:
            await dead_letters.refuse(one.record, one.reason)
            continue
        log.warning("dead letter", record=repr(one.record), reason=one.reason)
        await dead_letters.add(one.record, one.reason)
