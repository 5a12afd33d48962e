"""Folders of ended runs: clean-up after a crash, and retention."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from modelyard_runtime.clock import Clock
from modelyard_runtime.retention import discard
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.rundir import RunDir

PRUNE_EVERY: Final = timedelta(hours=1)


class Folders:
    """Deletes folders of ended runs. `open_runs` must be read after the last run was added: then no folder of a new run
    is taken for an ended one's."""

    def __init__(self, workers: Workers, limits: Limits, clock: Clock) -> None:
        self._workers, self._limits, self._clock = workers, limits, clock
        self._pruned_at: datetime | None = None
        self._changed = True

    def tidy(self, open_runs: Collection[UUID]) -> None:
        """After a start: kill workers of ended runs, which a crash of the service may have left running."""
        self._workers.empty_trash()
        for run_dir in self._ended(open_runs):
            if run_dir.holder is not None or run_dir.data.exists():
                self._workers.kill_at(run_dir)
                run_dir.forget_data()
        self._prune(open_runs)

    def changed(self) -> None:
        """A run has ended: prune at the next opportunity."""
        self._changed = True

    def prune(self, open_runs: Collection[UUID]) -> None:
        """Prune after the end of a run, and once an hour: folders expire even if no run ends."""
        due = self._pruned_at is None or self._clock() - self._pruned_at >= PRUNE_EVERY
        if self._changed or due:
            self._prune(open_runs)

    def _prune(self, open_runs: Collection[UUID]) -> None:
        """Delete folders beyond `keep_run_dirs`, and those older than `keep_run_dirs_for`."""
        now = self._clock()
        self._pruned_at, self._changed = now, False
        oldest = (now - self._limits.keep_run_dirs_for).timestamp()
        for number, run_dir in enumerate(self._ended(open_runs)):
            if number >= self._limits.keep_run_dirs or run_dir.path.stat().st_mtime < oldest:
                discard(run_dir.path)

    def _ended(self, open_runs: Collection[UUID]) -> list[RunDir]:
        """Folders of ended runs, last changed first."""
        names = {str(run_id) for run_id in open_runs}
        return [run_dir for run_dir in self._workers.folders() if run_dir.path.name not in names]
