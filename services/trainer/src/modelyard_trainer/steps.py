"""The next step of one run: safe to repeat, and kept nowhere but in the database and the run's folder.

Starting (a second worker ends by itself), taking the result, registering (by run id).
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from modelyard_contracts import RunState
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Retryable
from modelyard_runtime.metrics import Metrics
from modelyard_trainer.domain.ports import Runs, Served
from modelyard_trainer.domain.recipes import Recipe, recipe_named
from modelyard_trainer.domain.reconcile import Action, Seen, Step, next_step
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.states import Signal
from modelyard_trainer.folders import Folders
from modelyard_trainer.limits import Limits
from modelyard_trainer.processes import Workers
from modelyard_trainer.rundir import RunDir

MIN_TOLD: Final = 0.05
"""Progress below this step is not worth an event."""
log = logging.getLogger(__name__)


class Publisher(Protocol):
    """What of the registry is needed here; see registry.RegistryGateway."""

    def served(self, model: str) -> Served | None: ...

    def fetch_older(self, digest: str, target: Any) -> bool: ...

    def fetch_dataset(self, digest: str, target: Any) -> None: ...

    def publish(self, run: Run, place: RunDir, result: dict[str, Any]) -> int: ...


class Steps:
    """What is done with a run: `next` looks at it and does its next step, `fail` ends it.

    ray_env: the environment of a worker that shares the warm Ray, None where each has its own; asked at each start.
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
            self.fail(run, step.reason, place)
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
        self._workers.start(run.id, self._ray_env(run))
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
            self.fail(run, f"its result was lost from {place.path}", place)
            return
        version = self._registry.publish(run, place, result)
        now = self._clock()
        self._save(run.moved(Signal.REGISTERED, at=now, version=version, progress=1.0, reason=result["summary"]))
        place.forget_data()
        self._folders.prune()
        self._workers.expect_more()

    def _cancel(self, run: Run, step: Step) -> None:
        self._workers.kill(run.id)
        self._save(run.moved(Signal.CANCELLED, at=self._clock(), reason=step.reason, cost_usd=self._cost(run)))
        self._workers.dir_of(run.id).forget_data()

    def fail(self, run: Run, reason: str, place: RunDir | None = None) -> None:
        """End the run, and its worker. place: its folder, whose log's end is told where the worker gave no reason."""
        self._workers.kill(run.id)
        tail = place.log_tail if place is not None and place.failure is None else ""
        text = " ".join((f"{reason}; its log ends: {tail}" if tail else reason).split())  # one line; the log is kept
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
