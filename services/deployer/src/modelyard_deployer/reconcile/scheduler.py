"""Runs the reconciler: when something has happened, and at regular intervals."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from modelyard_deployer.reconcile.reconciler import Reconciler
from modelyard_runtime.wakeup import Wakeup

WAITING_S: Final = 0.1
"""Interval while something is under way: a starting replica, a step's time."""
IDLE_S: Final = 1.0
"""Interval otherwise: the delay until an exited replica or the end of keeping warm is noticed."""
TIDY_EVERY_S: Final = 30.0
log = logging.getLogger(__name__)


class Scheduler:
    """Reconciles every model in a thread of its own, so that no model waits for the slow replica of another."""

    def __init__(self, reconciler: Reconciler, tidy: Callable[[], None]) -> None:
        self._reconciler, self._tidy = reconciler, tidy
        self._wakeup = Wakeup()
        self.notify = self._wakeup.notify

    async def run(self, stop: asyncio.Event) -> None:
        running: dict[str, asyncio.Task[bool]] = {}
        tidied, waiting = 0.0, True
        try:
            while not stop.is_set():
                for model in await asyncio.to_thread(self._reconciler.models):
                    if model not in running:
                        running[model] = asyncio.create_task(self._settle(model))
                if running:
                    await asyncio.wait(running.values(), timeout=WAITING_S, return_when=asyncio.FIRST_COMPLETED)
                done = [model for model, task in running.items() if task.done()]
                ended = [running.pop(model).result() for model in done]
                waiting = any(ended) or bool(running)
                if time.monotonic() - tidied > TIDY_EVERY_S:
                    await asyncio.to_thread(self._tidy)
                    tidied = time.monotonic()
                await self._wakeup.pause(stop, WAITING_S if waiting else IDLE_S)
        finally:
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _settle(self, model: str) -> bool:
        """Return True while something is being waited for. An error of one model does not affect the others."""
        try:
            return await asyncio.to_thread(self._reconciler.settle, model)
        except Exception:
            log.exception("reconciling %s failed; it is repeated", model)
            return False
