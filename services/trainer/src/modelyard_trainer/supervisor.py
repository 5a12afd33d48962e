"""Looks at every open run, again and again, and does the next step; it keeps nothing in memory that a crash may take.

Each step is safe to repeat: starting (a second worker ends by itself), taking the result, registering (by run id).
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from modelyard_contracts import RunState
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import ModelyardError, Retryable
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.retention import discard
from modelyard_trainer.domain.ports import Runs, Served
from modelyard_trainer.domain.recipes import Recipe, recipe_named
from modelyard_trainer.domain.reconcile import Action, Seen, Step, next_step
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.states import Signal
from modelyard_trainer.processes import Workers
from modelyard_trainer.rundir import RunDir
from modelyard_trainer.warm_ray import WarmRay

IDLE_S: Final = 2.0
"""How often to look when there is no open run; a new one wakes us at once."""
RETRY_S: Final = 1.0
MIN_TOLD: Final = 0.05
"""Progress below this step is not worth an event."""
PRUNE_EVERY: Final = timedelta(hours=1)
NEEDS_RAY: Final = (RunState.REQUESTED, RunState.SNAPSHOTTING, RunState.TRAINING)
log = logging.getLogger(__name__)


class Publisher(Protocol):
    """What of the registry is needed here; see registry.RegistryGateway."""

    def served(self, model: str) -> Served | None: ...

    def fetch_older(self, digest: str, target: Any) -> bool: ...

    def fetch_dataset(self, digest: str, target: Any) -> None: ...

    def publish(self, run: Run, place: RunDir, result: dict[str, Any]) -> int: ...


@dataclass(frozen=True)
class Limits:
    max_running: int = 1
    max_attempts: int = 3
    max_run_s: float = 3_600.0
    tick_s: float = 0.25
    keep_run_dirs: int = 50
    keep_run_dirs_for: timedelta = timedelta(days=30)
    ray_cpus: int = 2
    cpu_hour_usd: float = 0.0


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
        self._runs, self._registry, self._workers = runs, registry, workers
        self._recipes, self._clickhouse, self._limits, self._clock = recipes, dict(clickhouse), limits, clock
        self._own_recipes = dict(own_recipes or {})
        self._ray = warm_ray
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pruned_at: datetime | None = None
        metrics = Metrics("trainer")
        self._open = metrics.gauge("open_runs", "Runs that have not ended")
        self._ended = metrics.counter("runs_total", "Runs that ended", ("state",))
        self._restarts = metrics.counter("worker_restarts_total", "Workers started again after they died")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the workers end with us."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.tidy)
        try:
            while not stop.is_set():
                self._wake.clear()
                open_runs = await asyncio.to_thread(self.tick)
                await self._pause(stop, self._limits.tick_s if open_runs else IDLE_S)
        finally:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the workers, and Ray."""
        self._workers.kill_all()
        if self._ray is not None:
            self._ray.stop()

    def notify(self) -> None:
        """Look now; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        waiting = {asyncio.create_task(stop.wait()), asyncio.create_task(self._wake.wait())}
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    def tick(self) -> int:
        """One step for each open run; returns how many there are."""
        open_runs = self._runs.open_runs()
        self._open.set(len(open_runs))
        no_ray = self._keep_ray(open_runs)
        running = sum(run.state in (RunState.SNAPSHOTTING, RunState.TRAINING) for run in open_runs)
        for run in open_runs:
            try:
                if no_ray is not None and self._wants_ray(run):
                    self._fail(run, no_ray)
                    continue
                running += self._step(run, free_slot=running < self._limits.max_running)
            except Retryable as error:
                log.warning("run %s: %s; trying again", run.id, error)
            except ModelyardError as error:
                self._fail(run, str(error))
            except Exception:  # a fault of ours must not keep the other runs from their steps
                log.exception("run %s: step failed", run.id)
        if self._pruned_at is None or self._clock() - self._pruned_at >= PRUNE_EVERY:
            self._prune()
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

    def _step(self, run: Run, *, free_slot: bool) -> int:
        """Returns 1 when a worker was started that took a place."""
        place = self._workers.dir_of(run.id)
        alive = self._workers.alive(run.id)  # asked first: a worker that ends in between left its result before
        seen = Seen(alive, place.result is not None, place.failure)
        begun = run.started_at or self._clock()
        overdue = (self._clock() - begun).total_seconds() > self._limits.max_run_s
        free = free_slot or run.state is not RunState.REQUESTED  # a restart has its place already
        step = next_step(run, seen, free_slot=free, max_attempts=self._limits.max_attempts, overdue=overdue)
        if step.action is Action.START_WORKER:
            return self._start(run, place)
        if step.action is Action.TAKE_RESULT:
            self._take(run, place)
        elif step.action is Action.REGISTER:
            self._register(run, place)
        elif step.action is Action.CANCEL:
            self._cancel(run, step)
        elif step.action is Action.FAIL:
            self._fail(run, step.reason, place)
        else:
            self._follow(run, place)
        return 0

    def _start(self, run: Run, place: RunDir) -> int:
        self._workers.kill(run.id)  # what a dead worker left of its Ray
        served = self._registry.served(run.model)
        self._fetch_older(run, served, place)
        place.prepare(self._request(run, served))
        if run.given_dataset is not None:
            self._registry.fetch_dataset(run.given_dataset, place.data)
        now, first = self._clock(), run.state is RunState.REQUESTED
        if first:
            self._save(run.moved(Signal.STARTED, at=now, attempt=1, started_at=now, reason="preparing the data"))
        else:
            self._restarts.inc()
            log.warning("run %s: worker died, attempt %d: %s", run.id, run.attempt + 1, place.log_tail[-300:])
            self._save(run.told(attempt=run.attempt + 1, reason=f"its worker died; attempt {run.attempt + 1}"))
        self._workers.start(run.id, self._ray.env if self._ray is not None and self._shares_ray(run) else None)
        return int(first)

    def _fetch_older(self, run: Run, served: Served | None, place: RunDir) -> None:
        """The dataset that fills the window while there are few live rows; the worker looks whether it is there."""
        if run.given_dataset is None and served is not None and served.dataset_digest is not None:
            place.path.mkdir(parents=True, exist_ok=True)
            self._registry.fetch_older(served.dataset_digest, place.older)

    def _request(self, run: Run, served: Served | None) -> dict[str, Any]:
        recipe = recipe_named(run.recipe, self._recipes)
        return {
            "run_id": str(run.id),
            "model": run.model,
            "recipe": recipe.name,
            "recipes": self._own_recipes,
            "parameters": run.parameters,
            "holdout_rows": run.policy.holdout_rows,
            "window_rows": run.policy.window_rows,
            "as_of": run.as_of.isoformat(),
            "given_dataset": run.given_dataset,
            "feature_schema": None if served is None else served.feature_schema.model_dump(mode="json"),
            "clickhouse": self._clickhouse,
            "ray_cpus": self._limits.ray_cpus,
        }

    def _follow(self, run: Run, place: RunDir) -> None:
        """Publish what the worker told since."""
        lines = place.progress
        if run.state is RunState.REQUESTED or not lines:
            return
        told = lines[-1]
        digest = next((line["dataset_digest"] for line in reversed(lines) if "dataset_digest" in line), None)
        changes = {"progress": told["progress"], "reason": told["note"]}
        if run.state is RunState.SNAPSHOTTING and digest is not None:
            self._save(run.moved(Signal.DATA_READY, at=self._clock(), dataset_digest=digest, **changes))
        elif told["progress"] - run.progress >= MIN_TOLD:
            self._save(run.told(**changes))

    def _take(self, run: Run, place: RunDir) -> None:
        result = place.result or {}
        now, digest = self._clock(), result["manifest"]["training"]["dataset_digest"]
        if run.state is RunState.SNAPSHOTTING:
            run = run.moved(Signal.DATA_READY, at=now, dataset_digest=digest)
            self._save(run)
        cost = self._cost(run)
        taken = {"dataset_digest": digest, "metrics": result["metrics"], "cost_usd": cost}
        self._save(run.moved(Signal.TRAINED, at=now, progress=0.95, reason="registering the version", **taken))
        self._workers.kill(run.id)  # it has said its last word; nothing of Ray may linger

    def _register(self, run: Run, place: RunDir) -> None:
        result = place.result
        if result is None:
            self._fail(run, f"its result was lost from {place.path}", place)
            return
        version = self._registry.publish(run, place, result)
        now = self._clock()
        self._save(run.moved(Signal.REGISTERED, at=now, version=version, progress=1.0, reason=result["summary"]))
        place.forget_data()
        self._prune()
        self._workers.expect_more()

    def _cancel(self, run: Run, step: Step) -> None:
        self._workers.kill(run.id)
        self._save(run.moved(Signal.CANCELLED, at=self._clock(), reason=step.reason, cost_usd=self._cost(run)))
        self._workers.dir_of(run.id).forget_data()

    def _fail(self, run: Run, reason: str, place: RunDir | None = None) -> None:
        self._workers.kill(run.id)
        tail = place.log_tail if place is not None and place.failure is None else ""
        text = f"{reason}; its log ends: {tail}" if tail else reason
        with contextlib.suppress(Retryable):  # somebody changed it meanwhile: the next look decides anew
            self._save(run.moved(Signal.FAILED, at=self._clock(), reason=text, cost_usd=self._cost(run)))
            self._workers.dir_of(run.id).forget_data()

    def _save(self, run: Run) -> None:
        with self._runs.session() as session:
            session.save(run, self._clock())
        if run.state.final:
            self._ended.labels(run.state.value).inc()
        log.info("run %s of %s: %s (%s)", run.id, run.model, run.state.value, run.reason)

    def _cost(self, run: Run) -> float:
        seconds = 0.0 if run.started_at is None else (self._clock() - run.started_at).total_seconds()
        return round(seconds / 3_600 * self._limits.ray_cpus * self._limits.cpu_hour_usd, 6)

    def tidy(self) -> None:
        """After a start: end Ray, and workers whose runs have ended, which a crash of ours may have left."""
        if self._ray is not None:
            self._ray.stop()
        self._workers.empty_trash()
        folders = self._folders()
        alive = {str(run.id) for run in self._runs.open_runs()}
        for place in folders:
            if place.path.name not in alive and (place.holder is not None or place.data.exists()):
                self._workers.kill_at(place)
                place.forget_data()
        self._prune()

    def _prune(self) -> None:
        """Keep the newest folders of ended runs, and those no longer than their time. Here, where runs are started, as
        no folder of a new run can then be taken for one that has ended."""
        now = self._clock()
        self._pruned_at = now
        alive = {str(run.id) for run in self._runs.open_runs()}
        oldest = (now - self._limits.keep_run_dirs_for).timestamp()
        ended = [place.path for place in self._folders() if place.path.name not in alive]
        for number, path in enumerate(ended):
            if number >= self._limits.keep_run_dirs or path.stat().st_mtime < oldest:
                discard(path)

    def _folders(self) -> list[RunDir]:
        """The one that changed last first."""
        return self._workers.folders()
