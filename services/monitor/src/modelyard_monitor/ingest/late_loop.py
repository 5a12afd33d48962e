"""Background loop of late joins, over the label partitions that this process reads."""

import asyncio
from collections.abc import Callable

from modelyard_monitor.ingest.late_labels import LateJoiner
from modelyard_runtime.errors import Retryable
from modelyard_runtime.log import get_logger
from modelyard_runtime.wakeup import pause

log = get_logger(__name__)

Assignment = Callable[[], set[int]]
"""Returns the partitions of labels that this process reads."""


class LateLoop:
    """Runs a round of late joins for each partition that needs one."""

    def __init__(self, joiner: LateJoiner, assignment: Assignment, every_s: float) -> None:
        self._joiner = joiner
        self._assignment = assignment
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Join until `stop`."""
        known: set[int] = set()
        while not stop.is_set():
            partitions = self._assignment()
            self._joiner.forget(partitions - known)
            known = partitions
            await self._join(partitions)
            await pause(stop, self._every_s)

    async def _join(self, partitions: set[int]) -> None:
        try:
            for partition in await self._joiner.due(partitions) if partitions else ():
                await self._joiner.join(partition)
        except Retryable as error:
            log.warning("late labels wait", partitions=sorted(partitions), error=str(error))
