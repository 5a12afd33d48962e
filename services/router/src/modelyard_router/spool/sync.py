"""Group commit: one fdatasync for all requests that wait for the disk."""

import asyncio
import os
from collections.abc import Callable


class GroupSync:
    """Runs fdatasync in a thread. A sync that started before a write does not count for that write."""

    def __init__(self, file: Callable[[], int]) -> None:
        self._file = file
        self._running: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Return once everything written before the call is on the disk; raises OSError when it is not."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._after(self._running))
        await asyncio.shield(self._waiting)

    async def _after(self, previous: "asyncio.Future[None] | None") -> None:
        if previous is not None:
            await asyncio.wait({previous})
        self._running, self._waiting = self._waiting, None
        file = os.dup(self._file())  # the segment may be rolled meanwhile
        try:
            await asyncio.to_thread(os.fdatasync, file)
        finally:
            os.close(file)
