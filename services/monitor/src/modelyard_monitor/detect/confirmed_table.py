"""A Faust table whose last write can be awaited, and the wiring that applies slices in order."""

import asyncio
from typing import Any, Final

import faust
from faust.types import TP

from modelyard_monitor.detect.faust_internals import Applied, place_after_table
from modelyard_monitor.detect.slice_order import Progress, go_back_for_the_last
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

END_CHECK_S: Final = 5.0
"""Interval of the check for lost slices at the end of a partition, which no later slice reveals."""


class ConfirmedTable(faust.Table[Any, Any]):
    """A table whose last write can be awaited: a value is never in the changelog before those of earlier events."""

    _last: Any = None

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        self._last = super().send_changelog(*args, **kwargs)
        return self._last

    async def confirmed(self) -> None:
        """Wait until the broker has acknowledged the last write; return at once when there was none."""
        if self._last is not None:
            await self._last
            self._last = None


def read_in_order(app: faust.App, topic: str, applied: Applied) -> Progress:
    """Make `app` begin each partition of `topic` after what its table holds, and re-read what Faust dropped.

    applied: returns {partition: last applied offset} from the table; called at each rebalance, after recovery.
    Call it before anything of the app is declared. The agent does the rest: it hands every event to `in_order`, writes
    each value with the last offset in it, skips an event whose offset the value has, and waits for `confirmed`.
    """
    progress = Progress()
    place_after_table(app, topic, applied, progress)

    async def watch_ends() -> None:
        lagging: dict[TP, int] = {}
        while not app.should_stop:
            await asyncio.sleep(END_CHECK_S)
            try:
                if not app.rebalancing:
                    lagging = await go_back_for_the_last(progress, app.consumer, topic, lagging)
            except Exception as error:  # the broker or a partition is away; the next check tries again
                log.warning("could not check the ends of partitions", error=repr(error))

    app.task(watch_ends)
    return progress
