"""Which slice of each partition comes next. The table says so, never Faust's commit.

Faust loses records around a rebalance: it resumes partitions before it seeks, forgets meanwhile what was committed, and
its check for holes lets a hole of one record pass. So a state carries the offset of the slice that led to it, a worker
begins behind the newest of them, and a slice that comes too early sends the consumer back instead of being applied.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from faust.types import TP

from modelyard_runtime.log import get_logger

log = get_logger(__name__)

Apply = Callable[[Any], Awaitable[None]]
"""Does what one Faust event asks for."""


class Progress:
    """The next offset per partition."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._missed: dict[int, int] = {}

    def begin(self, partition: int, offset: int) -> None:
        """The slice at `offset` is the next one."""
        self._next[partition] = offset
        self._missed.pop(partition, None)

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions have not begun any more."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._missed.pop(partition, None)

    def done(self, partition: int, offset: int) -> None:
        """The slice at `offset` was applied; of a partition that was given away meanwhile it says nothing."""
        if partition in self._next:
            self._next[partition] = max(self._next[partition], offset + 1)

    def next_of(self, partition: int) -> int | None:
        """None before the partition has begun."""
        return self._next.get(partition)

    def newly_missed(self, partition: int) -> bool:
        """Whether it is the first time that a later slice came in place of the next one; the others follow it."""
        first = self._missed.get(partition) != self._next[partition]
        self._missed[partition] = self._next[partition]
        return first


def newest(positions: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The last applied offset per partition, over the positions of all models."""
    found: dict[int, int] = {}
    for position in positions:
        for partition, offset in position.items():
            found[partition] = max(offset, found.get(partition, -1))
    return found


async def in_order(event: Any, progress: Progress, consumer: Any, apply: Apply) -> None:
    """Apply the event if it is the next of its partition; skip a repeat; go back for what a later one left out.

    One that comes before its partition has begun is left alone: the seek that begins it has it read again.
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
    """Go back for slices that no later one tells of: short of the end, and no further than at the last look (`before`).

    Returns what to hand to the next look. A slice that is only slow comes twice then, which changes nothing; what
    retention has taken meanwhile is given up.
    """
    begun = {tp: progress.next_of(tp.partition) for tp in consumer.assignment() if tp.topic == topic}
    ends = await consumer.highwaters(*begun) if begun else {}
    behind = {tp: expected for tp, expected in begun.items() if expected is not None and ends[tp] > expected}
    stuck = [tp for tp, expected in behind.items() if before.get(tp) == expected]
    for tp, start in (await consumer.earliest_offsets(*stuck)).items() if stuck else ():
        if progress.next_of(tp.partition) != behind[tp]:
            continue  # it went on while we asked
        if start > behind[tp]:
            log.error("slices gone for good", partition=tp.partition, first=behind[tp], last=start - 1)
            progress.begin(tp.partition, start)
        await _go_back(consumer, tp, max(start, behind[tp]), ends[tp] - 1)
    return behind


async def _go_back(consumer: Any, tp: TP, first: int, last: int) -> None:
    log.warning("slices missed, read again", partition=tp.partition, first=first, last=last)
    try:
        await consumer.seek_wait({tp: first})
    except Exception as error:  # the partition was given away: whoever has it begins right; or the next look goes back
        log.warning("could not go back", partition=tp.partition, error=repr(error))
