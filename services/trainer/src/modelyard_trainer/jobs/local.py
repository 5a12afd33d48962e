"""Jobs as worker processes on this machine."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol
from uuid import UUID

from modelyard_trainer.domain.jobs import Job, JobSpec, Output
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.retention import Folders
from modelyard_trainer.jobs.rundir import RunDir
from modelyard_trainer.jobs.warm_ray import WarmRay


class Blobs(Protocol):
    """Downloads the datasets of jobs."""

    def fetch_dataset(self, digest: str, target: Path) -> None:
        """Download a dataset and verify its digest; BadRequest if there is none."""

    def fetch_older(self, digest: str, target: Path) -> bool:
        """Download a dataset that fills a window; False if it is gone or too large."""


class LocalJobs:
    """Implements domain.jobs.Jobs. warm_ray: None if each job has its own Ray, or all use a cluster."""

    def __init__(self, workers: Workers, blobs: Blobs, folders: Folders, warm_ray: WarmRay | None = None) -> None:
        self._workers, self._blobs, self._folders, self._ray = workers, blobs, folders, warm_ray

    def ensure(self, spec: JobSpec) -> None:
        self._workers.kill(spec.run_id)  # ends a Ray that a dead worker left
        run_dir = self._workers.dir_of(spec.run_id)
        run_dir.prepare(dict(spec.request))
        if spec.older is not None:
            self._blobs.fetch_older(spec.older, run_dir.older)
        if spec.dataset is not None:
            self._blobs.fetch_dataset(spec.dataset, run_dir.data)
        self._workers.start(spec.run_id, self._ray.env if self._ray is not None and spec.shares_ray else None)

    def observe(self, run_id: UUID) -> Job:
        run_dir = self._workers.dir_of(run_id)
        running = self._workers.alive(run_id)  # first: a worker that ends in between has written its result
        lines = run_dir.progress
        return Job(
            running=running,
            progress=lines[-1]["progress"] if lines else None,
            note=lines[-1]["note"] if lines else "",
            dataset_digest=next((line["dataset_digest"] for line in reversed(lines) if "dataset_digest" in line), None),
            rows=next((line["rows"] for line in reversed(lines) if "rows" in line), None),
            recipe=next((line["recipe"] for line in reversed(lines) if "recipe" in line), None),
            result=run_dir.result,
            failure=run_dir.failure,
            last_words=run_dir.log_tail,
        )

    def stop(self, run_id: UUID) -> None:
        self._workers.kill(run_id)

    def output(self, run_id: UUID) -> Output:
        return output_in(self._workers.dir_of(run_id))

    def release(self, run_id: UUID) -> None:
        self._workers.dir_of(run_id).forget_data()
        self._folders.changed()
        self._workers.expect_more()

    def prepare(self, *, shared_ray: bool) -> str | None:
        if self._ray is None:
            return None
        self._ray.keep(wanted=shared_ray)
        return self._ray.cannot_start

    def tidy(self, open_runs: Collection[UUID]) -> None:
        if self._ray is not None:
            self._ray.stop()
        self._folders.tidy(open_runs)

    def prune(self, open_runs: Collection[UUID]) -> None:
        self._folders.prune(open_runs)

    def close(self) -> None:
        self._workers.kill_all()
        if self._ray is not None:
            self._ray.stop()


def output_in(run_dir: RunDir) -> Output:
    """Files of a run's folder."""
    return Output(run_dir.manifest, run_dir.model, run_dir.data, run_dir.snapshot)
