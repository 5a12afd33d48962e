"""Runs of synchronisations: what was chosen, how far each is, and the files of the version that is being taken over."""

import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import Field

from modelyard_console.domain.syncs import SyncProgress
from modelyard_console.store.folders import Note, Sent, UploadFolders
from modelyard_console.store.room import Room, size_of
from modelyard_own.work import FILES, OUT
from modelyard_runtime.clock import Clock

PROGRESS: Final = "progress.json"
ADVICE: Final = "wait for them to be deleted, or use `modelyard sync`"


class SyncRun(Note):
    """What a person chose. source: its id in the settings. there, model: the model's names there and here."""

    source: str
    there: str
    model: str
    only: tuple[str, ...]
    """Keys of the versions to take over."""
    sample: str | None = None
    values: dict[str, str] = Field(default_factory=dict)
    """Facts about the model, as they were sent."""


class SyncRuns(UploadFolders[SyncRun]):
    """Runs of all people, kept as long as uploads."""

    def __init__(self, folder: Path, keep: timedelta, room: Room, clock: Clock) -> None:
        super().__init__(SyncRun, folder, keep, room, clock, ADVICE)

    def add(
        self,
        owner: str,
        names: tuple[str, str, str],
        only: tuple[str, ...],
        sample: Sent | None,
        values: Mapping[str, str],
    ) -> SyncRun:
        """Store what was chosen. names: of the source, the model there and here. Invalid for an empty sample."""
        with self.new_folder() as (run_id, now, folder):
            name = self.write_sample(sample, folder)
            source, there, model = names
            given = {"source": source, "there": there, "model": model, "only": only, "values": dict(values)}
            run = SyncRun.model_validate({**given, "id": run_id, "owner": owner, "uploaded_at": now, "sample": name})
            self.save(run)
            return run

    def of(self, owner: str) -> list[SyncRun]:
        """The runs of a person, newest first."""
        return sorted((one for one in self.all() if one.owner == owner), key=lambda one: one.uploaded_at, reverse=True)

    def have_bytes(self, run: SyncRun) -> int:
        """Bytes of the version that is being taken over."""
        return sum(size_of(path) for name in (FILES, OUT) for path in (self.folder(run) / name).rglob("*"))

    def progress(self, run: SyncRun) -> SyncProgress:
        """How far the run is."""
        return self.kept(run, PROGRESS, None, SyncProgress) or SyncProgress()

    def keep_progress(self, run: SyncRun, found: SyncProgress) -> None:
        self.keep(run, PROGRESS, None, found)

    def clear(self, run: SyncRun) -> None:
        """Delete the files of a version; the choice, the sample and the progress stay."""
        for name in (FILES, OUT):
            shutil.rmtree(self.folder(run) / name, ignore_errors=True)
