"""The Faust internals in use have the layout they were written for; otherwise the public API is used."""

from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from modelyard_monitor.detect import faust_internals
from modelyard_monitor.detect.faust_internals import PositionedTransport, begins_of, place_after_table, problems
from modelyard_monitor.detect.slice_order import Progress


def test_the_installed_faust_has_the_layout_that_this_release_was_written_for() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("constant", "value", "expected"),
    [
        ("WRITTEN_FOR", "0.1", "written for 0.1"),
        ("FIELDS", ("_renamed",), "has no _renamed"),
        ("METHODS", ("renamed",), "has no method renamed"),
    ],
)
def test_another_layout_is_reported_and_the_public_api_is_used(
    monkeypatch: pytest.MonkeyPatch, constant: str, value: Any, expected: str
) -> None:
    monkeypatch.setattr(faust_internals, constant, value)
    app = faust.App("another-layout", broker="kafka://127.0.0.1:1", store="memory://")
    place_after_table(app, "slices", dict, Progress())
    assert [expected in one for one in problems()] == [True]
    assert not isinstance(app.transport, PositionedTransport)


def test_with_the_known_layout_the_app_uses_our_consumer() -> None:
    app = faust.App("known-layout", broker="kafka://127.0.0.1:1", store="memory://")
    place_after_table(app, "slices", dict, Progress())
    assert isinstance(app.transport, PositionedTransport)
    assert isinstance(app.consumer, faust_internals.PositionedConsumer)


async def test_on_the_public_api_a_rebalance_begins_partitions_after_the_table_and_a_revocation_ends_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faust_internals, "WRITTEN_FOR", "0.1")
    app = faust.App("public-api", broker="kafka://127.0.0.1:1", store="memory://")
    progress = Progress()
    place_after_table(app, "slices", lambda: {0: 6}, progress)
    app.consumer = consumer({0: 0, 1: 3})

    await app.on_rebalance_complete.send()
    assert [progress.next_of(partition) for partition in range(3)] == [7, 3, None]
    await app.on_partitions_revoked.send({TP("slices", 0), TP("another", 1)})
    assert [progress.next_of(partition) for partition in range(3)] == [None, 3, None]


async def test_a_partition_begins_after_the_table_never_where_faust_committed() -> None:
    committed = {TP("slices", p): offset for p, offset in {0: 9, 1: 1, 2: 4, 3: None}.items()}
    begins = await begins_of(consumer({0: 0, 1: 5, 2: 0, 3: 3}), "slices", lambda: {0: 6, 1: 2}, committed)
    # 0: after the table; 1: the oldest record retention has kept; 2: no state, so the commit; 3: neither, so the start
    assert {tp.partition: offset for tp, offset in begins.items()} == {0: 7, 1: 5, 2: 4, 3: 3}


def consumer(starts: dict[int, int]) -> Any:
    """A consumer with these partitions of `slices`, and one of another topic."""

    async def earliest_offsets(*asked: TP) -> dict[TP, int]:
        return {tp: starts[tp.partition] for tp in asked}

    assigned = {*(TP("slices", partition) for partition in starts), TP("another", 0)}
    return SimpleNamespace(assignment=lambda: assigned, earliest_offsets=earliest_offsets)
