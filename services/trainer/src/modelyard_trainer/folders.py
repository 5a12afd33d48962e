"""Folders of runs that have ended: their workers' leftovers after a crash, and how long they are kept."""

from datetime import datetime, timedelta
from typing import Final

from modelyard_runtime.clock import Clock
from modelyard_runtime.retention import discard
from modelyard_trainer.domain.ports import Runs
from modelyard_trainer.limits import Limits
from modelyard_trainer.processes import Workers
from modelyard_trainer.rundir import RunDir

PRUNE_EVERY: Final = timedelta(hours=1)


class Folders:
    """Call it where runs are started: no folder of a new run can then be taken for one that has ended."""

    def __init__(self, workers: Workers, runs: Runs, limits: Limits, clock: Clock) -> None:
        self._workers, self._runs, self._limits, self._clock = workers, runs, limits, clock
        self._pruned_at: datetime | None = None

    def tidy(self) -> None:
        """After a start: end workers whose runs have ended, which a crash of ours may have left."""
        self._workers.empty_trash()
        for place in self._ended():
            if place.holder is not None or place.data.exists():
                self._workers.kill_at(place)
                place.forget_data()
        self.prune()

    def prune_when_due(self) -> None:
        """Once an hour: folders also grow too old while no run ends."""
        if self._pruned_at is None or self._clock() - self._pruned_at >= PRUNE_EVERY:
            self.prune()

    def prune(self) -> None:
        """Keep the newest folders, and those no longer than their time."""
        now = self._clock()
        self._pruned_at = now
        oldest = (now - self._limits.keep_run_dirs_for).timestamp()
        for number, place in enumerate(self._ended()):
            if number >= self._limits.keep_run_dirs or place.path.stat().st_mtime < oldest:
                discard(place.path)

    def _ended(self) -> list[RunDir]:
        """The one that changed last first."""
        folders = self._workers.folders()  # before the runs: a new run is in the database before its folder is made
        alive = {str(run.id) for run in self._runs.open_runs()}
        return [place for place in folders if place.path.name not in alive]
