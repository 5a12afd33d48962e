"""Count the rows of each version over its reference profile, or note why they are not counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from modelyard_contracts.manifest import ReferenceProfile
from modelyard_monitor.domain.ports import Manifests
from modelyard_monitor.domain.watching import NO_PROFILE, Unwatched, Version
from modelyard_monitor.ingest.batches import TOKEN_VERSION
from modelyard_monitor.ingest.bin_tables import reference_bins
from modelyard_monitor.ingest.binning import Column, Group, Positions, columns_of, unusable_rows
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_runtime.health import Readiness
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

MAX_REASON_CHARS: Final = 500


@dataclass(frozen=True)
class Counts:
    """What was counted of one group."""

    columns: Sequence[Column] = ()
    unusable: Positions = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Rows that break the signature: stored, left out of the columns, and counted as such."""


NOTHING: Final = Counts()


class Counter:
    """Bins the rows of a version by its reference profile; a version that cannot be counted disturbs no other."""

    def __init__(
        self, clickhouse: ClickHouse, manifests: Manifests, unwatched: Unwatched, readiness: Readiness
    ) -> None:
        self._clickhouse = clickhouse
        self._manifests = manifests
        self._unwatched = unwatched
        self._readiness = readiness
        self._profiles_written: set[Version] = set()

    def count(self, group: Group) -> Counts:
        """Count a group; nothing is counted, and a reason is noted, when its version cannot be watched."""
        version = (group.model, group.version, group.digest)
        counts, reason = self._count(group, version)
        if self._unwatched.note(version, reason):
            log.warning("watched version changed", model=group.model, version=group.version, reason=reason)
            self._readiness.set("watching", True, _summary(len(self._unwatched.reasons())))
        return counts

    def _count(self, group: Group, version: Version) -> tuple[Counts, str]:
        found = self._manifests.find(version)
        if found.manifest is None or found.manifest.reference is None:
            return NOTHING, found.reason or NO_PROFILE
        try:
            counts = Counts(columns_of(group, found.manifest), unusable_rows(group, found.manifest.signature))
            self._write_profile(version, found.manifest.reference)
        except (ArithmeticError, ValueError, pa.ArrowException) as error:
            return NOTHING, f"the reference profile cannot be used: {error}"[:MAX_REASON_CHARS]
        return counts, ""

    def _write_profile(self, version: Version, profile: ReferenceProfile) -> None:
        """Store the reference profile as rows, so that PSI is plain SQL; equal rows replace one another."""
        if version in self._profiles_written:
            return
        rows = reference_bins(*version, profile)
        self._clickhouse.insert("reference_bins", rows, ":".join((TOKEN_VERSION, *map(str, version))))
        self._profiles_written.add(version)


def _summary(count: int) -> str:
    """Return the readiness detail: rows of these versions are stored, but not counted."""
    return f"{count} versions are not watched; GET /v1/unwatched lists the reasons" if count else ""
