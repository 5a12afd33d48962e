"""Looks at every open run, again and again, and has its next step done; nothing is in memory that a crash may take."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from modelyard_contracts import RunState
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import ModelyardError, Retryable
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.pauses import Wakeup
from modelyard_trainer.domain.ports import Runs
from modelyard_trainer.domain.recipes import Recipe
from modelyard_trainer.domain.run import Run
from modelyard_trainer.folders import Folders
from modelyard_trainer.limits import Limits
from modelyard_trainer.processes import Workers
from modelyard_trainer.steps import Publisher, Steps
from modelyard_trainer.warm_ray import WarmRay

IDLE_S: Final = 2.0
"""How often to look when there is no open run; a new one wakes us at once."""
NEEDS_RAY: Final = (RunState.REQUESTED, RunState.SNAPSHOTTING, RunState.TRAINING)
log = logging.getLogger(__name__)


class Supervisor:
    """Run `run` as a background task; `tick` is one look at everything, and blocks."""

    def __init__(
        self,
        *,
        runs: Runs,
        registry: Publisher,
        workers: Workers,
        recipes: Mapping[str, Recipe],
        clickhouse: Mapping[str, str],
        limits: Limits,
        clock: Clock,
        own_recipes: Mapping[str, str] | None = None,
        warm_ray: WarmRay | None = None,
    ) -> None:
        self._runs, self._workers, self._recipes, self._limits, self._ray = runs, workers, recipes, limits, warm_ray
        metrics = Metrics("trainer")
        self._open = metrics.gauge("open_runs", "Runs that have not ended")
        self._folders = Folders(workers, runs, limits, clock)
        self._steps = Steps(
            runs=runs,
            registry=registry,
            workers=workers,
            folders=self._folders,
            recipes=recipes,
            clickhouse=clickhouse,
            limits=limits,
            clock=clock,
            own_recipes=own_recipes or {},
            ray_env=self._ray_env,
            metrics=metrics,
        )
        self._wakeup = Wakeup()
        self.notify = self._wakeup.notify

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the workers end with us."""
        await asyncio.to_thread(self.tidy)
        try:
            while not stop.is_set():
                open_runs = await asyncio.to_thread(self.tick)
                await self._wakeup.pause(stop, self._limits.tick_s if open_runs else IDLE_S)
        finally:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the workers, and Ray."""
        self._workers.kill_all()
        if self._ray is not None:
            self._ray.stop()

    def tick(self) -> int:
        """One step for each open run; returns how many there are."""
        open_runs = self._runs.open_runs()
        self._open.set(len(open_runs))
        no_ray = self._keep_ray(open_runs)
        running = sum(run.state in (RunState.SNAPSHOTTING, RunState.TRAINING) for run in open_runs)
        for run in open_runs:
            try:
                if no_ray is not None and self._wants_ray(run):
                    self._steps.fail(run, no_ray)
                    continue
                running += self._steps.next(run, free_slot=running < self._limits.max_running)
            except Retryable as error:
                log.warning("run %s: %s; trying again", run.id, error)
            except ModelyardError as error:
                self._steps.fail(run, str(error))
            except Exception:  # a fault of ours must not keep the other runs from their steps
                log.exception("run %s: step failed", run.id)
        self._folders.prune_when_due()
        return len(open_runs)

    def _keep_ray(self, open_runs: Sequence[Run]) -> str | None:
        """From the request on: Ray starts while the data is being prepared. Returns why it cannot start at all."""
        if self._ray is None:
            return None
        self._ray.keep(wanted=any(self._wants_ray(run) for run in open_runs))
        return self._ray.cannot_start

    def _wants_ray(self, run: Run) -> bool:
        return run.state in NEEDS_RAY and self._shares_ray(run)

    def _shares_ray(self, run: Run) -> bool:
        return run.recipe in self._recipes and self._recipes[run.recipe].shares_ray

    def _ray_env(self, run: Run) -> Mapping[str, str] | None:
        return self._ray.env if self._ray is not None and self._shares_ray(run) else None

    def tidy(self) -> None:
        """After a start: end Ray, and workers whose runs have ended, which a crash of ours may have left."""
        if self._ray is not None:
            self._ray.stop()
        self._folders.tidy()
