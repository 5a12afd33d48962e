"""Schedules the reconciler: changed and waiting models promptly, all models at every resync."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final, Protocol

from modelyard_deployer.domain.ports import Workloads
from modelyard_runtime.wakeup import Wakeup

WAITING_S: Final = 0.1
"""Interval while a model waits, for example for a starting replica or the minimum time of a step."""
IDLE_S: Final = 0.25
"""Interval otherwise: the delay until an exited or silent replica is noticed."""
RESYNC_S: Final = 30.0
"""All models are reconciled this often, changed or not; this also detects the end of `warm_until`."""
TIDY_EVERY_S: Final = 30.0
log = logging.getLogger(__name__)


class Reconciles(Protocol):
    """The reconciler as the scheduler needs it."""

    def models(self) -> list[str]:
        """Every model that may need reconciling."""

    def settle(self, model: str) -> bool:
        """Reconcile a model; return True while it is waiting."""

    def note_failure(self, model: str, problem: str) -> None:
        """Record why a model cannot be reconciled."""


class Scheduler:
    """Reconciles every model in its own thread, so that a slow replica of one model does not delay the others.

    An idle model costs only the probes of its replicas.
    """

    def __init__(self, reconciler: Reconciles, workloads: Workloads, tidy: Callable[[], None]) -> None:
        self._reconciler, self._workloads, self._tidy = reconciler, workloads, tidy
        self._wakeup, self._lock = Wakeup(), Lock()
        self._due: set[str] = set()
        self._running: dict[str, asyncio.Task[bool]] = {}

    def notify(self, model: str) -> None:
        """Reconcile a model now; callable from any thread."""
        with self._lock:
            self._due.add(model)
        self._wakeup.notify()

    async def run(self, stop: asyncio.Event) -> None:
        tidied = synced = float("-inf")
        try:
            while not stop.is_set():
                if time.monotonic() - synced > RESYNC_S:
                    await self._add_due(self._reconciler.models)
                    synced = time.monotonic()
                await self._add_due(self._workloads.poll)
                self._start_due()
                if time.monotonic() - tidied > TIDY_EVERY_S:
                    await asyncio.to_thread(self._tidy)
                    tidied = time.monotonic()
                waiting = await self._collect()
                await self._wakeup.pause(stop, WAITING_S if waiting else IDLE_S)
        finally:
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _add_due(self, find: Callable[[], Iterable[str]]) -> None:
        try:
            found = await asyncio.to_thread(find)
        except Exception:
            log.exception("listing the models to reconcile failed; retrying")
            return
        with self._lock:
            self._due |= set(found)

    def _start_due(self) -> None:
        with self._lock:
            ready = self._due - self._running.keys()
            self._due -= ready
        for model in ready:
            self._running[model] = asyncio.create_task(self._settle(model))

    async def _collect(self) -> bool:
        """Wait briefly for running models and requeue the waiting ones. Return True if any is running or due."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=WAITING_S, return_when=asyncio.FIRST_COMPLETED)
        ended = [model for model, task in self._running.items() if task.done()]
        waiting = {model for model in ended if self._running.pop(model).result()}
        with self._lock:
            self._due |= waiting
            return bool(self._running or self._due)

    async def _settle(self, model: str) -> bool:
        """Reconcile a model; return True while it is waiting. An error of one model does not affect the others."""
        try:
            return await asyncio.to_thread(self._reconciler.settle, model)
        except Exception as error:
            log.exception("reconciling %s failed; retrying", model)
            await self._note(model, f"reconciling failed, retrying: {type(error).__name__}: {error}")
            return True

    async def _note(self, model: str, problem: str) -> None:
        with contextlib.suppress(Exception):  # the database may be down; the error is already logged
            await asyncio.to_thread(self._reconciler.note_failure, model, problem)
