"""Control events and slices that their writer did not sign never reach the tables or the detectors."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from modelyard_contracts import OffsetRange, SliceSource, SliceSummarised
from modelyard_contracts.codec import Codec
from modelyard_devstack.testing.signing import Signers
from modelyard_monitor.detect.worker import slice_applier
from modelyard_monitor.ingest.control_events import ControlEventIngest
from modelyard_monitor.testing.fakes import Letters
from modelyard_monitor.testing.samples import START
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import Received

from .test_api import drift
from .world import World

SIGNERS = Signers.fresh()


async def test_a_timeline_has_no_forged_events(world: World) -> None:
    readiness = Readiness()
    events = ControlEventIngest(
        world.clickhouse, Codec(), world.letters, world.changes, SIGNERS.gate("monitor", readiness)
    )
    honest = [drift(), drift()]
    batch = [
        SIGNERS.received(honest[0], "monitor", offset=0),
        SIGNERS.received(drift(), None, offset=1),
        SIGNERS.received(drift(), "trainer", offset=2),
        SIGNERS.received(honest[1], "monitor", offset=3),
    ]
    assert await events.store(batch) == 2
    stored = world.clickhouse.rows("SELECT event_id FROM {db}.events ORDER BY _offset")
    assert [row["event_id"] for row in stored] == [str(event.event_id) for event in honest]
    assert [offset for offset, _ in world.letters.letters] == [1, 2]
    assert all("not signed by monitor" in reason for _, reason in world.letters.letters)
    assert readiness.ready and "2 events refused" in str(readiness.as_dict())


def piece() -> SliceSummarised:
    return SliceSummarised(
        event_id=uuid4(),
        occurred_at=START,
        model="m",
        model_version=1,
        model_digest="d",
        variant="stable",
        source=SliceSource.PREDICTIONS,
        covers=OffsetRange(topic="t", partition=0, first_offset=0, last_offset=9),
        window_start=START,
        window_end=START,
        rows=10,
    )


class Detects:
    """A detector and its table that remember what reached them."""

    def __init__(self) -> None:
        self.handled: list[Any] = []

    async def handle(self, piece: SliceSummarised, place: tuple[int, int]) -> None:
        self.handled.append(place)

    async def confirmed(self) -> None:
        """The table is stored at once."""


def as_faust(record: Received) -> Any:
    message = SimpleNamespace(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key_bytes,
        timestamp=1_790_000_000.0,
        headers=dict(record.raw_headers),
    )
    return SimpleNamespace(message=message, value=record.value)


def test_a_forged_slice_starts_no_drift() -> None:
    detector, letters = Detects(), Letters()
    apply = slice_applier(detector, detector, Codec(), letters, SIGNERS.gate("monitor"))
    records = [
        SIGNERS.received(piece(), None, offset=0),
        SIGNERS.received(piece(), "router", offset=1),
        SIGNERS.received(piece(), "monitor", offset=2),
    ]

    async def all_of_them() -> None:
        for record in records:
            await apply(as_faust(record))

    asyncio.run(all_of_them())
    assert detector.handled == [(0, 2)]
    assert [offset for offset, _ in letters.letters] == [0, 1]
