"""Group commit: one sync of the files for all requests that wait for the disk."""

import asyncio
import os
from collections.abc import Callable, Sequence


class GroupSync:
    """Syncs in a thread. A sync that started before a write does not count for that write.

    files: descriptors of all files and folders written since the last call; they are closed after the sync.
    """

    def __init__(self, files: Callable[[], Sequence[int]]) -> None:
        self._files = files
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
        await asyncio.to_thread(_sync, self._files())


def _sync(files: Sequence[int]) -> None:
    """Sync and close all of them; OSError when one cannot be synced: its records are answered as not logged."""
    failed: OSError | None = None
    for file in files:
        try:
            os.fdatasync(file)
        except OSError as error:
            failed = error
        finally:
            os.close(file)
    if failed is not None:
        raise failed
