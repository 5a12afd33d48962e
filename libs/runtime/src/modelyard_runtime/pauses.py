"""Pauses of background loops: they end early when the service stops, or when there is something to do."""

import asyncio
from threading import Lock


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until `stop`."""
    await _first_of(seconds, stop)


class Wakeup:
    """Ends the pause of one loop early; told from any thread, and kept until the loop pauses next."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = Lock()

    def notify(self) -> None:
        """There is something to do."""
        with self._lock:
            if self._loop is None:
                self._told.set()
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._told.set)

    async def pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait, but no longer than until `notify` or `stop`."""
        with self._lock:  # an event that a loop waits on is set in that loop only
            self._loop = asyncio.get_running_loop()
        await _first_of(seconds, stop, self._told)
        self._told.clear()


async def _first_of(seconds: float, *events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
