"""Apply the slices of each partition in order, without gaps or repeats; the table holds the position.

Faust loses records around a rebalance: it resumes partitions before it seeks, forgets meanwhile what was committed, and
its gap detection misses a gap of one record. So a state carries the offset of the last slice applied to it, a worker
resumes after the newest of them, and seeks back when a slice arrives too early.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from faust.types import TP

from modelyard_runtime.log import get_logger

log = get_logger(__name__)

Apply = Callable[[Any], Awaitable[None]]
"""Applies one Faust event."""


class Progress:
    """The next offset per partition."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._missed: dict[int, int] = {}

    def begin(self, partition: int, offset: int) -> None:
        """Expect the slice at `offset` next."""
        self._next[partition] = offset
        self._missed.pop(partition, None)

    def forget(self, partitions: Iterable[int]) -> None:
        """Ignore these partitions until they begin again."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._missed.pop(partition, None)

    def done(self, partition: int, offset: int) -> None:
        """Note that the slice at `offset` was applied; does nothing for a partition that was revoked meanwhile."""
        if partition in self._next:
            self._next[partition] = max(self._next[partition], offset + 1)

    def next_of(self, partition: int) -> int | None:
        """Return the expected offset; None before the partition has begun."""
        return self._next.get(partition)

    def newly_missed(self, partition: int) -> bool:
        """Return whether this is the first slice that arrived instead of the expected one; others follow it."""
        first = self._missed.get(partition) != self._next[partition]
        self._missed[partition] = self._next[partition]
        return first


def newest(positions: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return the last applied offset per partition, over the positions of all models."""
    found: dict[int, int] = {}
    for position in positions:
        for partition, offset in position.items():
            found[partition] = max(offset, found.get(partition, -1))
    return found


async def in_order(event: Any, progress: Progress, consumer: Any, apply: Apply) -> None:
    """Apply the event if it is the expected one; skip a repeat; seek back when it arrived too early.

    An event of a partition that has not started is ignored: the seek that starts it delivers it again.
    """
    message = event.message
    expected = progress.next_of(message.partition)
    if expected is None:
        return
    if message.offset == expected:
        await apply(event)
        progress.done(message.partition, message.offset)
    elif message.offset > expected and progress.newly_missed(message.partition):
        await _go_back(consumer, TP(message.topic, message.partition), expected, message.offset - 1)


async def go_back_for_the_last(
    progress: Progress, consumer: Any, topic: str, before: Mapping[TP, int]
) -> dict[TP, int]:
    """Seek back for lost slices that no later slice reveals: partitions below their end that made no progress.

    before: the result of the previous call; the result goes into the next one. A slice that is only slow is delivered
    twice, which changes nothing; slices that retention has removed are given up.
    """
    begun = {tp: progress.next_of(tp.partition) for tp in consumer.assignment() if tp.topic == topic}
    ends = await consumer.highwaters(*begun) if begun else {}
    lagging = {tp: expected for tp, expected in begun.items() if expected is not None and ends[tp] > expected}
    stuck = [tp for tp, expected in lagging.items() if before.get(tp) == expected]
    for tp, start in (await consumer.earliest_offsets(*stuck)).items() if stuck else ():
        if progress.next_of(tp.partition) != lagging[tp]:
            continue  # it progressed while we waited
        if start > lagging[tp]:
            log.error("slices removed by retention", partition=tp.partition, first=lagging[tp], last=start - 1)
            progress.begin(tp.partition, start)
        await _go_back(consumer, tp, max(start, lagging[tp]), ends[tp] - 1)
    return lagging


async def _go_back(consumer: Any, tp: TP, first: int, last: int) -> None:
    log.warning("slices missed, reading them again", partition=tp.partition, first=first, last=last)
    try:
        await consumer.seek_wait({tp: first})
    except Exception as error:  # the partition was revoked: its next owner starts at the right offset
        log.warning("could not seek back", partition=tp.partition, error=repr(error))
