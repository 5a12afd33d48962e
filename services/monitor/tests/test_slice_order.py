"""Slices are applied in order, without gaps or repeats, whatever Faust delivers."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

from aiokafka.errors import IllegalStateError
from faust.types import TP

from modelyard_monitor.detect.detector import Detector
from modelyard_monitor.detect.slice_order import Progress, go_back_for_the_last, in_order, newest
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import ModelState
from modelyard_monitor.testing.fakes import KEYS, OTHER_KEYS, Manifests, Sent


class Consumer:
    """Delivers a log from the offset of the last seek on; loses the offsets of `lost` the first time."""

    def __init__(self, end: int, lost: set[int]) -> None:
        self.end, self.lost, self.at = end, lost, 0
        self.sought: list[int] = []

    async def seek_wait(self, begins: dict[TP, int]) -> None:
        [(tp, offset)] = begins.items()
        assert tp == TP("slices", 2)
        self.sought.append(offset)
        self.at = offset

    def __iter__(self) -> Any:
        while self.at < self.end:
            offset, self.at = self.at, self.at + 1
            if offset in self.lost:
                self.lost.discard(offset)
            else:
                yield SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=offset))


def begun(offset: int = 0) -> Progress:
    progress = Progress()
    progress.begin(2, offset)
    return progress


async def _applied(consumer: Consumer) -> list[int]:
    progress, applied = begun(), []

    async def apply(event: Any) -> None:
        applied.append(event.message.offset)

    for event in consumer:
        await in_order(event, progress, consumer, apply)
    return applied


async def test_lost_slices_are_read_again_and_applied_in_order() -> None:
    consumer = Consumer(12, {0, 4, 5, 9})
    assert await _applied(consumer) == list(range(12))
    assert consumer.sought == [0, 4, 9]


async def test_a_slice_of_a_partition_that_has_not_begun_is_ignored() -> None:
    progress, applied, consumer = Progress(), [], Consumer(9, set())
    consumer.at = 7

    async def apply(event: Any) -> None:
        applied.append(event.message.offset)

    for event in consumer:
        await in_order(event, progress, consumer, apply)
    assert (applied, consumer.sought) == ([], [])

    progress.begin(2, 5)
    consumer.at = 5
    for event in consumer:
        await in_order(event, progress, consumer, apply)
    assert (applied, consumer.sought) == ([5, 6, 7, 8], [])


async def test_only_the_first_of_many_early_slices_seeks_back() -> None:
    progress, applied, consumer = begun(), [], Consumer(0, set())

    async def apply(event: Any) -> None:
        applied.append(event.message.offset)

    for offset in (3, 4, 5, 0, 1, 4, 5):
        event = SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=offset))
        await in_order(event, progress, consumer, apply)
    assert (applied, consumer.sought) == ([0, 1], [0, 2])


async def test_a_revoked_partition_is_not_an_error() -> None:
    async def seek_wait(begins: dict[TP, int]) -> None:
        raise IllegalStateError("No current assignment for partition")

    event = SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=5))
    await in_order(event, begun(), SimpleNamespace(seek_wait=seek_wait), AsyncMock())


async def test_a_partition_revoked_during_an_apply_has_to_begin_again() -> None:
    progress, applied, consumer = begun(), [], Consumer(0, set())

    async def apply(event: Any) -> None:
        progress.forget([2])  # a rebalance while it is being applied
        applied.append(event.message.offset)

    for offset in (0, 1):
        event = SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=offset))
        await in_order(event, progress, consumer, apply)
    assert (applied, progress.next_of(2), consumer.sought) == ([0], None, [])


async def test_a_repeat_is_not_applied_again() -> None:
    progress, applied = begun(), []

    async def apply(event: Any) -> None:
        applied.append(event.message.offset)

    for offset in (0, 1, 0, 1, 2):
        event = SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=offset))
        await in_order(event, progress, Consumer(0, set()), apply)
    assert applied == [0, 1, 2]


def test_the_position_is_the_newest_of_all_models_per_partition() -> None:
    assert newest([{0: 3, 1: 9}, {0: 7}, {}]) == {0: 7, 1: 9}


def test_the_position_comes_from_all_readable_states() -> None:
    mine = Snapshots(lambda: KEYS)
    table = {
        b"m": mine.dump(ModelState(position={0: 3})),
        b"n": mine.dump(ModelState(position={0: 5, 2: 1})),
        b"foreign": Snapshots(lambda: OTHER_KEYS).dump(ModelState(position={0: 99})),
        b"none": b"",
    }
    assert Detector(table, mine, Manifests({}), Sent(), Rules(), "ml").applied() == {0: 5, 2: 1}


async def test_lost_slices_at_the_end_are_read_again_at_the_second_check() -> None:
    progress, sought = begun(), list[tuple[int, int]]()
    progress.begin(1, 4)
    tps = [TP("slices", 1), TP("slices", 3), TP("other", 1)]

    async def highwaters(*asked: TP) -> dict[TP, int]:
        return dict.fromkeys(asked, 6)

    async def seek_wait(begins: dict[TP, int]) -> None:
        sought.extend((tp.partition, offset) for tp, offset in begins.items())

    async def earliest_offsets(*asked: TP) -> dict[TP, int]:
        return dict.fromkeys(asked, start)

    start = 0
    consumer = SimpleNamespace(
        assignment=lambda: tps, highwaters=highwaters, earliest_offsets=earliest_offsets, seek_wait=seek_wait
    )
    lagging = await go_back_for_the_last(progress, consumer, "slices", {})
    assert (lagging, sought) == ({TP("slices", 1): 4}, [])
    progress.done(1, 4)
    lagging = await go_back_for_the_last(progress, consumer, "slices", lagging)
    assert sought == []  # it makes progress
    lagging = await go_back_for_the_last(progress, consumer, "slices", lagging)
    assert sought == [(1, 5)]
    progress.done(1, 5)
    assert await go_back_for_the_last(progress, consumer, "slices", lagging) == {}


async def test_slices_removed_by_retention_are_given_up() -> None:
    progress, [tp] = begun(), [TP("slices", 2)]
    consumer = SimpleNamespace(
        assignment=lambda: [tp],
        highwaters=AsyncMock(return_value={tp: 9}),
        earliest_offsets=AsyncMock(return_value={tp: 6}),
        seek_wait=AsyncMock(),
    )
    lagging = await go_back_for_the_last(progress, consumer, "slices", {})
    await go_back_for_the_last(progress, consumer, "slices", lagging)
    consumer.seek_wait.assert_awaited_once_with({tp: 6})
    assert progress.next_of(2) == 6
