"""Faust beyond its public API: begin each partition after what the table holds, and re-read what Faust dropped.

Why: Faust loses records around a rebalance. It resumes partitions before it seeks, and it drops a message whose offset
is below the last one it read, so messages that are read again after a seek are dropped while others are in transit.

Written for faust-streaming 0.15.3. `problems` compares the installed Faust with the layout that is used here; a test
fails when it reports anything. In production `place_after_table` then uses the public API only, which re-reads more
after a rebalance but applies the same slices.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final, cast

import faust
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from modelyard_monitor.detect.slice_order import Progress
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

WRITTEN_FOR: Final = "0.15.3"
FIELDS: Final = ("_read_offset", "_committed_offset")
METHODS: Final = ("perform_seek", "earliest_offsets", "seek_wait", "assignment", "on_partitions_revoked")

Applied = Callable[[], Mapping[int, int]]
"""Returns {partition: last applied offset}, from the table."""


def problems() -> list[str]:
    """Return how the installed Faust differs from the layout that this module was written for; [] when it fits."""
    found = []
    if version("faust-streaming") != WRITTEN_FOR:
        found.append(f"faust-streaming {version('faust-streaming')}, written for {WRITTEN_FOR}")
    names = faust_consumer.Consumer.__init__.__code__.co_names
    found += [f"faust.Consumer has no {name}" for name in FIELDS if name not in names]
    found += [f"faust.Consumer has no method {name}" for name in METHODS if not hasattr(driver.Consumer, name)]
    if getattr(driver.Transport, "Consumer", None) is not driver.Consumer:
        found.append("faust.Transport does not name its Consumer")
    return found


class _Unfiltered(defaultdict[TP, int | None]):
    """Faust's record of the last offset read; it answers None for one topic, so that nothing of it is dropped."""

    def __init__(self, topic: str) -> None:
        super().__init__(lambda: None)
        self._topic = topic

    def __getitem__(self, tp: TP) -> int | None:
        return None if tp.topic == self._topic else super().__getitem__(tp)


class PositionedConsumer(driver.Consumer):
    """A Faust consumer that starts after the newest slice in the table, and seeks back on a gap."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Unfiltered(cast(PositionedTransport, self.transport).topic)

    async def perform_seek(self) -> None:
        """Seek after what the table holds; where it holds nothing, to the committed offset or the start."""
        await super().perform_seek()
        transport = cast(PositionedTransport, self.transport)
        begins = await begins_of(self, transport.topic, transport.applied, self._committed_offset)
        for tp, offset in begins.items():
            transport.progress.begin(tp.partition, offset)
            self._committed_offset[tp] = offset or None
        await self.seek_wait(begins)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Ignore what arrives before the next seek: another worker may have continued meanwhile."""
        transport = cast(PositionedTransport, self.transport)
        transport.progress.forget(tp.partition for tp in revoked if tp.topic == transport.topic)
        await super().on_partitions_revoked(revoked)


class PositionedTransport(driver.Transport):
    """Makes positioned consumers; its three fields are set before the app starts."""

    Consumer = PositionedConsumer
    topic: str
    progress: Progress
    applied: Applied


async def begins_of(consumer: Any, topic: str, applied: Applied, committed: Mapping[TP, int | None]) -> dict[TP, int]:
    """Return where to begin each assigned partition of `topic`: after the table, else at the commit, else the start."""
    mine = {tp for tp in consumer.assignment() if tp.topic == topic}
    starts = await consumer.earliest_offsets(*mine) if mine else {}
    known = applied()  # after the last await: nothing is applied between here and `begin`
    begins = {}
    for tp, start in starts.items():
        after_table = known[tp.partition] + 1 if tp.partition in known else committed.get(tp) or 0
        begins[tp] = max(start, after_table)  # retention may have removed the records after the table
        log.info("partition starts", topic=topic, partition=tp.partition, offset=begins[tp])
    return begins


def place_after_table(app: faust.App, topic: str, applied: Applied, progress: Progress) -> None:
    """Make `app` begin each partition of `topic` after what its table holds; call it before anything is declared.

    applied: called at each rebalance, after the table is recovered.
    """
    if differences := problems():
        log.warning("Faust has another layout, using its public API only", differences=differences)
        use_public_api(app, topic, applied, progress)
    else:
        use_internals(app, topic, applied, progress)


def use_internals(app: faust.App, topic: str, applied: Applied, progress: Progress) -> None:
    """Replace the app's transport by one whose consumer seeks after the table."""
    transport = PositionedTransport(app.conf.broker_consumer, app)
    transport.topic, transport.progress, transport.applied = topic, progress, applied
    app.transport = transport


def use_public_api(app: faust.App, topic: str, applied: Applied, progress: Progress) -> None:
    """Begin partitions by signals. Faust seeks to its commit; `in_order` skips repeats and goes back over gaps."""

    async def forget(_: Any, revoked: set[TP], **__: Any) -> None:
        progress.forget(tp.partition for tp in revoked if tp.topic == topic)

    async def begin(*_: Any, **__: Any) -> None:
        for tp, offset in (await begins_of(app.consumer, topic, applied, {})).items():
            progress.begin(tp.partition, offset)

    app.on_partitions_revoked.connect(cast(Any, forget))
    app.on_rebalance_complete.connect(begin)
