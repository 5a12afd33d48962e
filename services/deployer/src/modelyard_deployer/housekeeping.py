"""Disk and tables do not grow for ever: what nobody needs any more goes. Safe to break off and to repeat anywhere."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from modelyard_deployer import store
from modelyard_deployer.fetching import Fetcher
from modelyard_runtime.database import Database
from modelyard_runtime.retention import discard_unused_files

SILENT: Final = timedelta(days=30)
"""A router that has been silent for so long will not come back under its name."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Housekeeping:
    """blobs: the cache of downloads; a replica gets a copy, so that only its age counts."""

    database: Database
    fetcher: Fetcher
    blobs: Path
    rollback_versions: int = 3
    model_folders: int = 5
    blobs_keep: timedelta = timedelta(days=7)

    def tidy(self) -> None:
        """One round; nothing that serves, may serve again soon, or is being fetched is touched."""
        now = self.database.clock()
        for folder in self.fetcher.prune(self._digests_in_use, self.model_folders):
            log.info("removed the unused model folder %s", folder)
        discard_unused_files(self.blobs, now - self.blobs_keep)
        with self.database.transaction() as tx:
            store.drop_acks(tx.connection, now - SILENT)

    def _digests_in_use(self) -> set[str]:
        with self.database.read() as db:
            return {version.digest for version in store.versions_in_use(db, self.rollback_versions)}
