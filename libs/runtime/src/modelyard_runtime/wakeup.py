"""Waiting in background loops: a wait ends early when the service stops, or when there is work."""

import asyncio
from threading import Lock


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until `stop`."""
    await _first_of(seconds, stop)


class Wakeup:
    """Ends the wait of one loop early. Notified from any thread; a notification stays until the loop waits next."""

    def __init__(self) -> None:
        self._notified = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = Lock()

    def notify(self) -> None:
        """End the current wait, or the next one."""
        with self._lock:
            if self._loop is None:
                self._notified.set()
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._notified.set)

    async def pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait, but no longer than until `notify` or `stop`."""
        with self._lock:  # an event that a loop waits on may be set in that loop only
            self._loop = asyncio.get_running_loop()
        await _first_of(seconds, stop, self._notified)
        self._notified.clear()


async def _first_of(seconds: float, *events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
