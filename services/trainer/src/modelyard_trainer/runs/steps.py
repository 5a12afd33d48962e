"""The steps of a run. Each is safe to repeat; all state is in the database and the run's folder.

A second worker ends by itself, and registering uses the run's id as its idempotency key.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from modelyard_contracts import RunState
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Retryable
from modelyard_runtime.metrics import Metrics
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.ports import Runs, Served
from modelyard_trainer.domain.recipes import Recipe
from modelyard_trainer.domain.reconcile import Action, Observed, Step, next_step
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.states import Signal
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.rundir import RunDir
from modelyard_trainer.runs.retention import Folders

MIN_PROGRESS_STEP: Final = 0.05
"""Smaller progress is not published."""
log = logging.getLogger(__name__)


class Publisher(Protocol):
    """The part of the registry used here; see clients.registry.RegistryGateway."""

    def served(self, model: str) -> Served | None: ...

    def fetch_older(self, digest: str, target: Any) -> bool: ...

    def fetch_dataset(self, digest: str, target: Any) -> None: ...

    def publish(self, run: Run, run_dir: RunDir, result: dict[str, Any]) -> int: ...


class Steps:
    """Performs the steps of runs: `next` does the next one, `fail` ends a run.

    ray_env: environment of a worker that shares the warm Ray, None if it has its own; called at each start.
    """

    def __init__(
        self,
        *,
        runs: Runs,
        registry: Publisher,
        workers: Workers,
        folders: Folders,
        recipes: Mapping[str, Recipe],
        clickhouse: Mapping[str, str],
        limits: Limits,
        clock: Clock,
        own_recipes: Mapping[str, str],
        ray_env: Callable[[Run], Mapping[str, str] | None],
        metrics: Metrics,
    ) -> None:
        self._runs, self._registry, self._workers, self._folders = runs, registry, workers, folders
        self._recipes, self._clickhouse, self._limits, self._clock = recipes, dict(clickhouse), limits, clock
        self._own_recipes, self._ray_env = dict(own_recipes), ray_env
        self._ended = metrics.counter("runs_total", "Runs that ended", ("state",))
        self._restarts = metrics.counter("worker_restarts_total", "Workers started again after they died")

    def next(self, run: Run, *, free_slot: bool) -> int:
        """Perform the next step; returns 1 if it occupied a slot, else 0."""
        run_dir = self._workers.dir_of(run.id)
        alive = self._workers.alive(run.id)  # first: a worker that ends in between has written its result
        observed = Observed(alive, run_dir.result is not None, run_dir.failure)
        begun = run.started_at or self._clock()
        overdue = (self._clock() - begun).total_seconds() > self._limits.max_run_s
        free = free_slot or run.state is not RunState.REQUESTED  # a restart already has a slot
        step = next_step(run, observed, free_slot=free, max_attempts=self._limits.max_attempts, overdue=overdue)
        if step.action is Action.START_WORKER:
            return self._start(run, run_dir)
        if step.action is Action.TAKE_RESULT:
            self._take(run, run_dir)
        elif step.action is Action.REGISTER:
            self._register(run, run_dir)
        elif step.action is Action.CANCEL:
            self._cancel(run, step)
        elif step.action is Action.FAIL:
            self.fail(run, step.reason, run_dir)
        else:
            self._follow(run, run_dir)
        return 0

    def _start(self, run: Run, run_dir: RunDir) -> int:
        self._workers.kill(run.id)  # ends a Ray that a dead worker left
        served = self._registry.served(run.model)
        self._fetch_older(run, served, run_dir)
        run_dir.prepare(self._request(run, served))
        if run.given_dataset is not None:
            self._registry.fetch_dataset(run.given_dataset, run_dir.data)
        now, first = self._clock(), run.state is RunState.REQUESTED
        if first:
            self._save(run.moved(Signal.STARTED, at=now, attempt=1, started_at=now, reason="preparing the data"))
        else:
            self._restarts.inc()
            log.warning("run %s: worker died, attempt %d: %s", run.id, run.attempt + 1, run_dir.log_tail[-300:])
            self._save(run.changed(attempt=run.attempt + 1, reason=f"its worker died; attempt {run.attempt + 1}"))
        self._workers.start(run.id, self._ray_env(run))
        return int(first)

    def _fetch_older(self, run: Run, served: Served | None, run_dir: RunDir) -> None:
        """Fetch the dataset that fills the window while there are few live rows; the worker checks for the file."""
        if run.given_dataset is None and served is not None and served.dataset_digest is not None:
            run_dir.path.mkdir(parents=True, exist_ok=True)
            self._registry.fetch_older(served.dataset_digest, run_dir.older)

    def _request(self, run: Run, served: Served | None) -> dict[str, Any]:
        return {
            "run_id": str(run.id),
            "model": run.model,
            "recipe": run.recipe,
            "recipes": self._own_recipes,
            "parameters": run.parameters,
            "holdout_rows": run.policy.holdout_rows,
            "window_rows": run.policy.window_rows,
            "as_of": run.as_of.isoformat(),
            "given_dataset": run.given_dataset,
            "data": run.data.model_dump(mode="json"),
            "signature": None if served is None else served.signature.model_dump(mode="json"),
            "signature_id": None if served is None else served.signature_id,
            "older_time": None if served is None else served.dataset_time,
            "older_until": served.train_until.isoformat() if served and served.train_until else None,
            "clickhouse": self._clickhouse,
            "ray_cpus": self._limits.ray_cpus,
        }

    def _follow(self, run: Run, run_dir: RunDir) -> None:
        """Publish new progress of the worker."""
        lines = run_dir.progress
        if run.state is RunState.REQUESTED or not lines:
            return
        latest = lines[-1]
        digest = next((line["dataset_digest"] for line in reversed(lines) if "dataset_digest" in line), None)
        recipe = next((line["recipe"] for line in reversed(lines) if "recipe" in line), run.recipe)
        changes = {"progress": latest["progress"], "reason": latest["note"], "recipe": recipe}
        if run.state is RunState.SNAPSHOTTING and digest is not None:
            self._save(run.moved(Signal.DATA_READY, at=self._clock(), dataset_digest=digest, **changes))
        elif latest["progress"] - run.progress >= MIN_PROGRESS_STEP:
            self._save(run.changed(**changes))

    def _take(self, run: Run, run_dir: RunDir) -> None:
        result = run_dir.result or {}
        now, digest = self._clock(), result["dataset_digest"]
        if run.state is RunState.SNAPSHOTTING:
            run = run.moved(Signal.DATA_READY, at=now, dataset_digest=digest)
            self._save(run)
        cost = self._cost(run)
        taken = {
            "dataset_digest": digest,
            "metrics": result["metrics"],
            "cost_usd": cost,
            "recipe": result["recipe"],
        }
        self._save(run.moved(Signal.TRAINED, at=now, progress=0.95, reason="registering the version", **taken))
        self._workers.kill(run.id)  # its result is complete; Ray must not stay

    def _register(self, run: Run, run_dir: RunDir) -> None:
        result = run_dir.result
        if result is None:
            self.fail(run, f"its result was lost from {run_dir.path}", run_dir)
            return
        version = self._registry.publish(run, run_dir, result)
        now = self._clock()
        self._save(run.moved(Signal.REGISTERED, at=now, version=version, progress=1.0, reason=result["summary"]))
        run_dir.forget_data()
        self._folders.prune()
        self._workers.expect_more()

    def _cancel(self, run: Run, step: Step) -> None:
        self._workers.kill(run.id)
        self._save(run.moved(Signal.CANCELLED, at=self._clock(), reason=step.reason, cost_usd=self._cost(run)))
        self._workers.dir_of(run.id).forget_data()

    def fail(self, run: Run, reason: str, run_dir: RunDir | None = None) -> None:
        """End the run and its worker. The end of the log in `run_dir` is added if the worker gave no reason."""
        self._workers.kill(run.id)
        tail = run_dir.log_tail if run_dir is not None and run_dir.failure is None else ""
        text = " ".join((f"{reason}; its log ends: {tail}" if tail else reason).split())  # one line; the log is kept
        with contextlib.suppress(Retryable):  # changed by another writer: the next tick decides again
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
