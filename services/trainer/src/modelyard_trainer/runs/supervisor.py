"""Checks every open run periodically and performs its next step; all state is in the database and in run folders."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from modelyard_contracts import RunState
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import ModelyardError, Retryable
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.wakeup import Wakeup
from modelyard_trainer.domain.jobs import Jobs
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.ports import Runs
from modelyard_trainer.domain.recipes import AUTO, Recipe
from modelyard_trainer.domain.run import Run
from modelyard_trainer.runs.steps import Publisher, Steps

IDLE_S: Final = 2.0
"""Interval while there is no open run; a new run wakes the supervisor at once."""
NEEDS_RAY: Final = (RunState.REQUESTED, RunState.SNAPSHOTTING, RunState.TRAINING)
log = logging.getLogger(__name__)


class Supervisor:
    """Run `run` as a background task; `tick` performs one step for each open run, and blocks."""

    def __init__(
        self,
        *,
        runs: Runs,
        registry: Publisher,
        jobs: Jobs,
        recipes: Mapping[str, Recipe],
        clickhouse: Mapping[str, str],
        limits: Limits,
        clock: Clock,
        own_recipes: Mapping[str, str] | None = None,
    ) -> None:
        self._runs, self._jobs, self._recipes, self._limits = runs, jobs, recipes, limits
        metrics = Metrics("trainer")
        self._open = metrics.gauge("open_runs", "Runs that have not ended")
        self._steps = Steps(
            runs=runs,
            registry=registry,
            jobs=jobs,
            limits=limits,
            clock=clock,
            request={"recipes": dict(own_recipes or {}), "clickhouse": dict(clickhouse)},
            shares_ray=self._shares_ray,
            metrics=metrics,
        )
        self._wakeup = Wakeup()
        self.notify = self._wakeup.notify

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then kill the workers."""
        await asyncio.to_thread(self.tidy)
        try:
            while not stop.is_set():
                open_runs = await asyncio.to_thread(self.tick)
                await self._wakeup.pause(stop, self._limits.tick_s if open_runs else IDLE_S)
        finally:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Kill the jobs and stop the shared Ray."""
        self._jobs.close()

    def tick(self) -> int:
        """Perform one step for each open run; returns the number of open runs."""
        open_runs = self._runs.open_runs()
        self._open.set(len(open_runs))
        no_ray = self._jobs.prepare(shared_ray=any(self._wants_ray(run) for run in open_runs))
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
            except Exception:  # an unexpected error affects this run only
                log.exception("run %s: step failed", run.id)
        self._jobs.prune({run.id for run in self._runs.open_runs()})
        return len(open_runs)

    def _wants_ray(self, run: Run) -> bool:
        return run.state in NEEDS_RAY and self._shares_ray(run)

    def _shares_ray(self, run: Run) -> bool:
        return run.recipe == AUTO or (run.recipe in self._recipes and self._recipes[run.recipe].shares_ray)

    def tidy(self) -> None:
        """After a start: end jobs of ended runs, which a crash of the service may have left running."""
        self._jobs.tidy({run.id for run in self._runs.open_runs()})
