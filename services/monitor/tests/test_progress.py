"""Slices in their order, whatever Faust hands over: nothing skipped, nothing twice, and begun where the table ends."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import faust
import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from modelyard_monitor.detect import worker
from modelyard_monitor.detect.apply import Detector
from modelyard_monitor.detect.exact import PositionedConsumer, _Unfiltered, exactly
from modelyard_monitor.detect.progress import Progress, go_back_for_the_last, in_order, newest
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.detect.worker import EXIT_UNFINISHED
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import ModelState
from modelyard_monitor.testing import Manifests, Sent


class Consumer:
    """Hands over a log from wherever it was sought to; loses the offsets of `lost` the first time they come."""

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


async def test_slices_that_were_lost_on_their_way_are_read_again_and_applied_in_order() -> None:
    consumer = Consumer(12, {0, 4, 5, 9})
    assert await _applied(consumer) == list(range(12))
    assert consumer.sought == [0, 4, 9]


async def test_a_slice_that_comes_before_its_partition_has_begun_is_left_to_the_seek_that_begins_it() -> None:
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


async def test_of_many_slices_that_come_too_early_one_sends_back_until_the_next_hole() -> None:
    progress, applied, consumer = begun(), [], Consumer(0, set())

    async def apply(event: Any) -> None:
        applied.append(event.message.offset)

    for offset in (3, 4, 5, 0, 1, 4, 5):
        event = SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=offset))
        await in_order(event, progress, consumer, apply)
    assert (applied, consumer.sought) == ([0, 1], [0, 2])


async def test_a_partition_that_was_given_away_meanwhile_is_no_error() -> None:
    async def seek_wait(begins: dict[TP, int]) -> None:
        raise IllegalStateError("No current assignment for partition")

    event = SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=5))
    await in_order(event, begun(), SimpleNamespace(seek_wait=seek_wait), AsyncMock())


async def test_a_partition_that_was_given_away_begins_anew_whatever_was_under_way() -> None:
    progress, applied, consumer = begun(), [], Consumer(0, set())

    async def apply(event: Any) -> None:
        progress.forget([2])  # a rebalance while it is being applied
        applied.append(event.message.offset)

    for offset in (0, 1):
        event = SimpleNamespace(message=SimpleNamespace(topic="slices", partition=2, offset=offset))
        await in_order(event, progress, consumer, apply)
    assert (applied, progress.next_of(2), consumer.sought) == ([0], None, [])


def test_the_consumer_that_faust_makes_is_ours_and_filters_nothing() -> None:
    app = faust.App("exact", broker="kafka://127.0.0.1:1", store="memory://")
    exactly(app, "slices", dict)
    consumer: Any = app.consumer
    assert isinstance(consumer, PositionedConsumer)
    consumer._read_offset[TP("slices", 0)] = 7
    assert consumer._read_offset[TP("slices", 0)] is None


def test_faust_remembers_nothing_of_the_slices_so_that_it_drops_none_that_is_read_again() -> None:
    read = _Unfiltered("slices")
    read[TP("slices", 0)] = read[TP("changelog", 0)] = 7
    assert (read[TP("slices", 0)], read[TP("changelog", 0)], read[TP("changelog", 1)]) == (None, 7, None)


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


def test_a_worker_asks_its_states_and_ignores_those_it_may_not_read() -> None:
    mine = Snapshots("key")
    table = {
        b"m": mine.dump(ModelState(position={0: 3})),
        b"n": mine.dump(ModelState(position={0: 5, 2: 1})),
        b"foreign": Snapshots("another").dump(ModelState(position={0: 99})),
        b"none": b"",
    }
    assert Detector(table, mine, Manifests({}), Sent(), Rules(), "ml").applied() == {0: 5, 2: 1}


async def test_a_seek_goes_behind_the_table_never_to_what_faust_committed(monkeypatch: Any) -> None:
    consumer, sought = _positioned(
        monkeypatch, applied={0: 6, 1: 2}, committed={0: 9, 1: 1, 2: 4, 3: None}, starts={0: 0, 1: 5, 2: 0, 3: 3}
    )
    await consumer.perform_seek()
    # 0: behind the table; 1: what retention left; 2: no state, so the commit; 3: neither, so the start
    assert sought == {0: 7, 1: 5, 2: 4, 3: 3}
    assert [consumer.transport.progress.next_of(p) for p in range(4)] == [7, 5, 4, 3]


def _positioned(
    monkeypatch: Any, *, applied: dict[int, int], committed: Any, starts: Any
) -> tuple[Any, dict[int, int]]:
    consumer: Any = PositionedConsumer.__new__(PositionedConsumer)
    tps = {p: TP("slices", p) for p in starts}
    consumer._committed_offset = {tps[p]: offset for p, offset in committed.items()}
    consumer.transport = SimpleNamespace(topic="slices", progress=Progress(), applied=lambda: applied)
    sought: dict[int, int] = {}

    async def nothing(self: Any) -> None:
        return None

    async def earliest(self: Any, *mine: TP) -> dict[TP, int]:
        return {tp: starts[tp.partition] for tp in mine}

    async def seek_wait(self: Any, begins: dict[TP, int]) -> None:
        sought.update({tp.partition: offset for tp, offset in begins.items()})

    monkeypatch.setattr(PositionedConsumer.__mro__[1], "perform_seek", nothing, raising=False)
    monkeypatch.setattr(PositionedConsumer, "assignment", lambda self: {*tps.values(), TP("another", 0)})
    monkeypatch.setattr(PositionedConsumer, "earliest_offsets", earliest)
    monkeypatch.setattr(PositionedConsumer, "seek_wait", seek_wait)
    return consumer, sought


async def test_the_last_slices_are_gone_back_for_when_they_stay_away_for_two_looks() -> None:
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
    behind = await go_back_for_the_last(progress, consumer, "slices", {})
    assert (behind, sought) == ({TP("slices", 1): 4}, [])
    progress.done(1, 4)
    behind = await go_back_for_the_last(progress, consumer, "slices", behind)
    assert sought == []  # it goes on by itself
    behind = await go_back_for_the_last(progress, consumer, "slices", behind)
    assert sought == [(1, 5)]
    progress.done(1, 5)
    assert await go_back_for_the_last(progress, consumer, "slices", behind) == {}


async def test_what_retention_took_meanwhile_is_given_up() -> None:
    progress, [tp] = begun(), [TP("slices", 2)]
    consumer = SimpleNamespace(
        assignment=lambda: [tp],
        highwaters=AsyncMock(return_value={tp: 9}),
        earliest_offsets=AsyncMock(return_value={tp: 6}),
        seek_wait=AsyncMock(),
    )
    behind = await go_back_for_the_last(progress, consumer, "slices", {})
    await go_back_for_the_last(progress, consumer, "slices", behind)
    consumer.seek_wait.assert_awaited_once_with({tp: 6})
    assert progress.next_of(2) == 6


@pytest.mark.parametrize(("rebalancing", "left"), [(True, [EXIT_UNFINISHED]), (False, [])])
async def test_a_recovery_that_never_ends_ends_the_worker_and_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch, rebalancing: bool, left: list[int]
) -> None:
    app: Any = SimpleNamespace(should_stop=False, rebalancing=rebalancing)
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        app.should_stop = True

    monkeypatch.setattr("os._exit", leave)
    monkeypatch.setattr(worker, "PARENT_CHECK_S", 0.01)
    monkeypatch.setattr(worker, "STUCK_AFTER_S", 0.05)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(worker._leave_when_stuck(app), 0.5)
    assert codes == left
