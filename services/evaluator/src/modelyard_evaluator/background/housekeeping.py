"""Remove files that are no longer needed. Safe to interrupt and to repeat."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from modelyard_evaluator.domain.ports import Storage
from modelyard_runtime.retention import discard, discard_unused_files, empty_trash, folders

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Housekeeping:
    """work_dir: folders of evaluations. blob_cache: downloads, removed by age; scoring processes get copies."""

    storage: Storage
    clock: Callable[[], datetime]
    work_dir: Path
    blob_cache: Path
    blobs_keep: timedelta = timedelta(days=7)

    def tidy(self) -> None:
        """Run one round. A finished evaluation removes its own folder; this removes the folders a crash left."""
        empty_trash(self.work_dir)
        existing = folders(self.work_dir)  # listed first: any folder created later belongs to an open evaluation
        with self.storage.read() as evaluations:
            open_ids = {str(evaluation_id) for evaluation_id in evaluations.open_ids()}
        for folder in existing:
            if folder.name not in open_ids:
                discard(folder)
                log.info("removed the folder of a finished evaluation: %s", folder)
        discard_unused_files(self.blob_cache, self.clock() - self.blobs_keep)
