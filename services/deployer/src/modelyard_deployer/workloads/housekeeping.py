"""Remove files and rows that are no longer needed. Safe to interrupt and to repeat anywhere."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from modelyard_deployer.domain.ports import Records, Store, Workloads
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.workloads.downloads import Downloads
from modelyard_runtime.clock import Clock
from modelyard_runtime.retention import discard_unused_files

SILENT: Final = timedelta(days=30)
"""A router not seen for this long is presumed gone, and comparisons are out of date."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Housekeeping:
    """blobs: the download cache. Replicas use copies of its files, so files are removed by age alone."""

    store: Store
    workloads: Workloads
    downloads: Downloads
    clock: Clock
    blobs: Path
    rollback_versions: int = 3
    model_folders: int = 5
    blobs_keep: timedelta = timedelta(days=7)

    def tidy(self) -> None:
        """Run one round. Versions that serve, may serve again soon, or are being downloaded are not touched."""
        now = self.clock()
        for folder in self.downloads.prune(self._digests_in_use, self.model_folders):
            log.info("removed the unused model folder %s", folder)
        discard_unused_files(self.blobs, now - self.blobs_keep)
        with self.store.write() as records:
            records.acknowledgements.forget(now - SILENT)
            records.comparisons.forget(now - SILENT)

    def _digests_in_use(self) -> set[str]:
        with self.store.read() as records:
            used = self.workloads.running() | _versions_in_use(records, self.rollback_versions)
            return {digest for key, digest in records.versions.digests().items() if key in used}


def _versions_in_use(records: Records, rollback_versions: int) -> set[VersionKey]:
    """Versions that serve, vote, are pinned or in an open rollout, and the newest of those that served before."""
    used = {key for route in records.routes.all() for key in route.pinned}
    for serving in records.serving.all():
        before = serving.history[max(0, len(serving.history) - rollback_versions) :]
        numbers = [*before, *([serving.champion] if serving.champion is not None else [])]
        used |= {VersionKey(serving.model, number) for number in numbers}
    used |= {VersionKey(vote.model, number) for vote in records.votes.all() for number in vote.versions}
    for model in records.models():
        used |= {VersionKey(model, rollout.to_version) for rollout in records.rollouts.open(model)}
    return used
