"""Where training jobs run: a port at the level of a run. Processes, folders and log files stay in its adapters."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True)
class JobSpec:
    """A job: its run, the request that its worker reads, and the blobs that it needs.

    dataset: digest of the given dataset; None for a snapshot. older: digest of the dataset that may fill the snapshot.
    shares_ray: runs in the Ray that jobs share.
    """

    run_id: UUID
    request: Mapping[str, Any]
    dataset: str | None = None
    older: str | None = None
    shares_ray: bool = False


@dataclass(frozen=True)
class Job:
    """A job as observed; compared with the run, never assumed."""

    running: bool
    progress: float | None = None
    """None before the first report."""
    note: str = ""
    dataset_digest: str | None = None
    rows: int | None = None
    """Rows of the dataset, known with its digest."""
    recipe: str | None = None
    result: Mapping[str, Any] | None = None
    """dataset_digest, recipe, metrics and summary; its files are in `Jobs.output`."""
    failure: str | None = None
    """Reason why the job cannot be done; a restart would not help."""
    last_words: str = ""
    """The end of its log."""


@dataclass(frozen=True)
class Output:
    """Files of a finished job. snapshot: description of `dataset`; None for a given dataset."""

    manifest: bytes
    files: Path
    dataset: Path
    snapshot: Mapping[str, Any] | None


class Jobs(Protocol):
    """Starts, observes and stops jobs. Each call is safe to repeat, and all but `stop` return soon."""

    def ensure(self, spec: JobSpec) -> None:
        """Start the job, or start it again after removing the rest of an earlier attempt; raises errors of fetching."""

    def observe(self, run_id: UUID) -> Job:
        """Return the state of a job, also of one that an earlier process of the service started."""

    def stop(self, run_id: UUID) -> None:
        """Kill the job with all it started; returns once it has ended."""

    def output(self, run_id: UUID) -> Output:
        """Files of a job that has a result."""

    def release(self, run_id: UUID) -> None:
        """Delete the large files of an ended run."""

    def prepare(self, *, shared_ray: bool) -> str | None:
        """Keep capacity ready: the shared Ray while it is needed. Returns why it cannot start, else None."""

    def tidy(self, open_runs: Collection[UUID]) -> None:
        """After a start: end jobs of ended runs."""

    def prune(self, open_runs: Collection[UUID]) -> None:
        """Delete what is kept for people of runs that ended long ago; does nothing more often than needed."""

    def close(self) -> None:
        """Kill all jobs; an open run starts again with the next service."""
