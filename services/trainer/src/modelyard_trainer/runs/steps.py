"""The steps of a run. Each is safe to repeat; all state is in the database and in the run's job.

Registering uses the run's id as its idempotency key.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from modelyard_contracts import RunState
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Retryable
from modelyard_runtime.metrics import Metrics
from modelyard_trainer.domain.jobs import Job, Jobs, JobSpec, Output
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.ports import Runs, Served
from modelyard_trainer.domain.reconcile import Action, Observed, Step, next_step
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.states import Signal
from modelyard_trainer.runs.uploads import Uploads

MIN_PROGRESS_STEP: Final = 0.05
"""Smaller progress is not published."""
log = logging.getLogger(__name__)


class Publisher(Protocol):
    """The part of the registry used here; see clients.registry.RegistryGateway."""

    def served(self, model: str) -> Served | None: ...

    def publish(self, run: Run, output: Output) -> int:
        """Publish dataset and version of a finished run; a repeat returns the same version."""


class Steps:
    """Performs the steps of runs: `next` does the next one, `fail` ends a run.

    request: part of a worker's request that is the same for all runs. shares_ray: whether a run uses the shared Ray.
    """

    def __init__(
        self,
        *,
        runs: Runs,
        registry: Publisher,
        jobs: Jobs,
        limits: Limits,
        clock: Clock,
        request: Mapping[str, Any],
        shares_ray: Callable[[Run], bool],
        metrics: Metrics,
    ) -> None:
        self._runs, self._registry, self._jobs = runs, registry, jobs
        self._limits, self._clock, self._request, self._shares_ray = limits, clock, dict(request), shares_ray
        self._uploads = Uploads(registry.publish)
        self._ended = metrics.counter("runs_total", "Runs that ended", ("state",))
        self._restarts = metrics.counter("worker_restarts_total", "Workers started again after they died")

    def next(self, run: Run, *, free_slot: bool) -> int:
        """Perform the next step; returns 1 if it occupied a slot, else 0."""
        job = self._jobs.observe(run.id)
        observed = Observed(job.running, job.result is not None, job.failure)
        begun = run.started_at or self._clock()
        overdue = (self._clock() - begun).total_seconds() > self._limits.max_run_s
        free = free_slot or run.state is not RunState.REQUESTED  # a restart already has a slot
        step = next_step(run, observed, free_slot=free, max_attempts=self._limits.max_attempts, overdue=overdue)
        if step.action is Action.START_WORKER:
            return self._start(run, job)
        if step.action is Action.TAKE_RESULT:
            self._take(run, job)
        elif step.action is Action.REGISTER:
            self._register(run, job)
        elif step.action is Action.CANCEL:
            self._cancel(run, step)
        elif step.action is Action.FAIL:
            self.fail(run, step.reason, job)
        else:
            self._follow(run, job)
        return 0

    def _start(self, run: Run, job: Job) -> int:
        self._jobs.ensure(self._spec(run, self._registry.served(run.model)))
        now, first = self._clock(), run.state is RunState.REQUESTED
        if first:
            self._save(run.moved(Signal.STARTED, at=now, attempt=1, started_at=now, reason="preparing the data"))
        else:
            self._restarts.inc()
            log.warning("run %s: worker died, attempt %d: %s", run.id, run.attempt + 1, job.last_words[-300:])
            self._save(run.changed(attempt=run.attempt + 1, reason=f"its worker died; attempt {run.attempt + 1}"))
        return int(first)

    def _spec(self, run: Run, served: Served | None) -> JobSpec:
        fills = run.given_dataset is None and served is not None
        return JobSpec(
            run_id=run.id,
            request={**self._request, **request_of(run, served), "ray_cpus": self._limits.ray_cpus},
            dataset=run.given_dataset,
            older=served.dataset_digest if fills and served is not None else None,
            shares_ray=self._shares_ray(run),
        )

    def _follow(self, run: Run, job: Job) -> None:
        """Publish new progress of the job."""
        if run.state is RunState.REQUESTED or job.progress is None:
            return
        changes = {"progress": job.progress, "reason": job.note, "recipe": job.recipe or run.recipe}
        if run.state is RunState.SNAPSHOTTING and job.dataset_digest is not None:
            changes |= {"dataset_digest": job.dataset_digest, "rows": job.rows}
            self._save(run.moved(Signal.DATA_READY, at=self._clock(), **changes))
        elif job.progress - run.progress >= MIN_PROGRESS_STEP:
            self._save(run.changed(**changes))

    def _take(self, run: Run, job: Job) -> None:
        result = job.result or {}
        now = self._clock()
        if run.state is RunState.SNAPSHOTTING:
            run = run.moved(Signal.DATA_READY, at=now, dataset_digest=result["dataset_digest"], rows=job.rows)
            self._save(run)
        taken = {name: result[name] for name in ("dataset_digest", "metrics", "recipe")}
        reason = "registering the version"
        self._save(run.moved(Signal.TRAINED, at=now, progress=0.95, reason=reason, cost_usd=self._cost(run), **taken))
        self._jobs.stop(run.id)  # its result is complete; Ray must not stay

    def _register(self, run: Run, job: Job) -> None:
        if job.result is None:
            self.fail(run, "its result was lost", job)
            return
        version = self._uploads.version(run, lambda: self._jobs.output(run.id))
        if version is None:
            return
        reason = job.result["summary"]
        self._save(run.moved(Signal.REGISTERED, at=self._clock(), version=version, progress=1.0, reason=reason))
        self._jobs.release(run.id)

    def _cancel(self, run: Run, step: Step) -> None:
        self._jobs.stop(run.id)
        reason = run.reason or step.reason
        self._save(run.moved(Signal.CANCELLED, at=self._clock(), reason=reason, cost_usd=self._cost(run)))
        self._jobs.release(run.id)

    def fail(self, run: Run, reason: str, job: Job | None = None) -> None:
        """End the run and its job. The end of the job's log is added if the job gave no reason."""
        self._jobs.stop(run.id)
        tail = job.last_words if job is not None and job.failure is None else ""
        text = " ".join((f"{reason}; its log ends: {tail}" if tail else reason).split())  # one line; the log is kept
        with contextlib.suppress(Retryable):  # changed by another writer: the next tick decides again
            self._save(run.moved(Signal.FAILED, at=self._clock(), reason=text, cost_usd=self._cost(run)))
            self._jobs.release(run.id)

    def _save(self, run: Run) -> None:
        with self._runs.session() as session:
            session.save(run, self._clock())
        if run.state.final:
            self._ended.labels(run.state.value).inc()
        log.info("run %s of %s: %s (%s)", run.id, run.model, run.state.value, run.reason)

    def _cost(self, run: Run) -> float:
        seconds = 0.0 if run.started_at is None else (self._clock() - run.started_at).total_seconds()
        return round(seconds / 3_600 * self._limits.ray_cpus * self._limits.cpu_hour_usd, 6)


def request_of(run: Run, served: Served | None) -> dict[str, Any]:
    """The worker's request for a run; the worker reads it in `worker/main.py`."""
    return {
        "run_id": str(run.id),
        "model": run.model,
        "recipe": run.recipe,
        "parameters": run.parameters,
        "holdout_rows": run.policy.holdout_rows,
        "learn_holdout": run.policy.learn_holdout == "always" and run.given_dataset is None,
        "windows": list(run.windows or (run.policy.windows if run.given_dataset is None else ())),
        "window_rows": run.policy.window_rows,
        "history_rows": run.policy.history_rows,
        "half_life_rows": run.policy.half_life_rows,
        "change_at": None if run.change_at is None else run.change_at.isoformat(),
        "as_of": run.as_of.isoformat(),
        "given_dataset": run.given_dataset,
        "data": run.data.model_dump(mode="json"),
        "signature": None if served is None else served.signature.model_dump(mode="json"),
        "signature_id": None if served is None else served.signature_id,
        "older_target": None if served is None else served.dataset_target,
        "older_time": None if served is None else served.dataset_time,
        "older_until": served.train_until.isoformat() if served and served.train_until else None,
    }
