"""Disk and tables do not grow for ever: what nobody needs any more goes. Safe to break off and to repeat anywhere."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from modelyard_evaluator import store
from modelyard_runtime.database import Database
from modelyard_runtime.retention import discard, discard_unused_files, empty_trash, folders

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Housekeeping:
    """work: the folders of evaluations. blobs: the cache of downloads; a scorer gets a copy, only its age counts."""

    database: Database
    work: Path
    blobs: Path
    blobs_keep: timedelta = timedelta(days=7)

    def tidy(self) -> None:
        """One round. An evaluation's folder goes with its end; here go those whose end was followed by a crash."""
        empty_trash(self.work)
        there = folders(self.work)  # looked at first: one that is made from now on is of an open evaluation
        with self.database.read() as db:
            open_ = {str(one) for one in store.open_ids(db)}
        for folder in there:
            if folder.name not in open_:
                discard(folder)
                log.info("removed the folder of an evaluation that has ended: %s", folder)
        discard_unused_files(self.blobs, self.database.clock() - self.blobs_keep)
