"""Folders of ended runs: clean-up after a crash, and retention."""

from datetime import datetime, timedelta
from typing import Final

from modelyard_runtime.clock import Clock
from modelyard_runtime.retention import discard
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.ports import Runs
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.rundir import RunDir

PRUNE_EVERY: Final = timedelta(hours=1)


class Folders:
    """Deletes folders of ended runs. Call it in the supervisor's thread only: a new run's folder is then never among
    them."""

    def __init__(self, workers: Workers, runs: Runs, limits: Limits, clock: Clock) -> None:
        self._workers, self._runs, self._limits, self._clock = workers, runs, limits, clock
        self._pruned_at: datetime | None = None

    def tidy(self) -> None:
        """After a start: kill workers of ended runs, which a crash of the service may have left running."""
        self._workers.empty_trash()
        for run_dir in self._ended():
            if run_dir.holder is not None or run_dir.data.exists():
                self._workers.kill_at(run_dir)
                run_dir.forget_data()
        self.prune()

    def prune_when_due(self) -> None:
        """Prune once an hour: folders expire even if no run ends."""
        if self._pruned_at is None or self._clock() - self._pruned_at >= PRUNE_EVERY:
            self.prune()

    def prune(self) -> None:
        """Delete folders beyond `keep_run_dirs`, and those older than `keep_run_dirs_for`."""
        now = self._clock()
        self._pruned_at = now
        oldest = (now - self._limits.keep_run_dirs_for).timestamp()
        for number, run_dir in enumerate(self._ended()):
            if number >= self._limits.keep_run_dirs or run_dir.path.stat().st_mtime < oldest:
                discard(run_dir.path)

    def _ended(self) -> list[RunDir]:
        """Folders of ended runs, last changed first."""
        folders = self._workers.folders()  # listed first: a new run is in the database before its folder exists
        alive = {str(run.id) for run in self._runs.open_runs()}
        return [run_dir for run_dir in folders if run_dir.path.name not in alive]
