"""A Faust app whose table is exact, whatever is killed: it begins where the table ends, and misses nothing."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from modelyard_monitor.detect.progress import Progress, go_back_for_the_last
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
"""Between looks whether the last events arrived: nothing comes behind them that would tell."""


class ConfirmedTable(faust.Table[Any, Any]):
    """A table whose last write can be waited for: no value is in the changelog before those of earlier events."""

    _last: Any = None

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        self._last = super().send_changelog(*args, **kwargs)
        return self._last

    async def confirmed(self) -> None:
        """Until the broker has acknowledged the last write; at once when there was none."""
        if self._last is not None:
            await self._last
            self._last = None


class _Unfiltered(defaultdict[TP, int | None]):
    """Faust's memory of what was read, which of one topic it never has.

    Faust drops what it has read before, and notes after a seek what was on its way before the seek: while events flow,
    what is to be read again is dropped again and again. Here the table knows what is a repeat.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(lambda: None)
        self._topic = topic

    def __getitem__(self, tp: TP) -> int | None:
        return None if tp.topic == self._topic else super().__getitem__(tp)


class PositionedConsumer(driver.Consumer):
    """A Faust consumer that begins where the table ends, and reads again what it is sent back to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Unfiltered(cast(PositionedTransport, self.transport).topic)

    async def perform_seek(self) -> None:
        """Seek behind what the table holds; where it holds nothing, to the commit or to the start."""
        await super().perform_seek()
        transport = cast(PositionedTransport, self.transport)
        mine = {tp for tp in self.assignment() if tp.topic == transport.topic}
        starts = await self.earliest_offsets(*mine) if mine else {}
        applied = transport.applied()  # behind the last wait: nothing is applied between here and `begin`
        begins: dict[TP, int] = {}
        for tp, start in starts.items():
            known = applied[tp.partition] + 1 if tp.partition in applied else self._committed_offset[tp] or 0
            begins[tp] = max(start, known)  # retention may have taken what is known
            transport.progress.begin(tp.partition, begins[tp])
            self._committed_offset[tp] = begins[tp] or None
            log.info("begins", topic=tp.topic, partition=tp.partition, offset=begins[tp])
        await self.seek_wait(begins)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """What comes before the next seek is left alone: another worker may have gone on meanwhile."""
        transport = cast(PositionedTransport, self.transport)
        transport.progress.forget(tp.partition for tp in revoked if tp.topic == transport.topic)
        await super().on_partitions_revoked(revoked)


class PositionedTransport(driver.Transport):
    """Makes positioned consumers; its three fields are set before the app starts."""

    Consumer = PositionedConsumer
    topic: str
    progress: Progress
    applied: Callable[[], Mapping[int, int]]
    """{partition: last applied offset}, from the table."""


def exactly(app: faust.App, topic: str, applied: Callable[[], Mapping[int, int]]) -> Progress:
    """Have `app` begin each partition of `topic` behind what its table holds, and go back for what Faust dropped.

    applied: {partition: last applied offset}, from the table; asked at each rebalance, once the table is recovered.
    Call it before anything of the app is declared. The agent keeps the rest of the promise: it hands every event to
    `in_order`, writes each value with the last offset in it, skips an event whose offset the value has (one that was in
    hand while partitions moved comes again), and has the value confirmed before the next event.
    """
    transport = PositionedTransport(app.conf.broker_consumer, app)
    app.transport = transport
    progress = Progress()
    transport.topic, transport.progress, transport.applied = topic, progress, applied

    async def watch_ends() -> None:
        behind: dict[TP, int] = {}
        while not app.should_stop:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if not app.rebalancing:
                    behind = await go_back_for_the_last(progress, app.consumer, topic, behind)
            except Exception as error:  # the broker is away, or a partition was; the next look sees
                log.warning("ends not looked at", error=repr(error))

    app.task(watch_ends)
    return progress
