"""Detector state of one model: per version and variant, with the offsets of the slices that were applied."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from modelyard_contracts import OffsetRange, SliceSummarised
from modelyard_monitor.domain.error_rate import ErrorWatch
from modelyard_monitor.domain.mean_shift import MeanWatch
from modelyard_monitor.domain.rules import PERSISTENCE

MAX_VERSIONS: Final = 6
"""Watched versions and variants per model; the one that was idle for longest is dropped."""

Source = tuple[str, int]
Subject = tuple[str, str]
"""(kind, subject) of a finding."""


@dataclass
class Window:
    """Counts of a PSI window that is being filled."""

    rows: int = 0
    start: datetime | None = None
    end: datetime | None = None
    counts: dict[str, list[int]] = field(default_factory=dict)
    covers: dict[Source, tuple[int, int]] = field(default_factory=dict)

    def add(self, piece: SliceSummarised) -> None:
        self.rows += piece.rows
        self.start = min(self.start or piece.window_start, piece.window_start)
        self.end = max(self.end or piece.window_end, piece.window_end)
        for part in (*piece.features, *((piece.score,) if piece.score else ())):
            have = self.counts.setdefault(part.name, [0] * len(part.counts))
            if len(have) == len(part.counts):
                self.counts[part.name] = [a + b for a, b in zip(have, part.counts, strict=True)]
        source = (piece.covers.topic, piece.covers.partition)
        first = self.covers.get(source, (piece.covers.first_offset, 0))[0]
        self.covers[source] = (first, piece.covers.last_offset)

    def ranges(self) -> tuple[OffsetRange, ...]:
        return tuple(
            OffsetRange(topic=topic, partition=partition, first_offset=first, last_offset=last)
            for (topic, partition), (first, last) in sorted(self.covers.items())
        )


@dataclass
class VersionState:
    """One version under one variant."""

    applied: dict[Source, int] = field(default_factory=dict)
    """Last applied offset per source partition, so that a repeated slice changes nothing."""
    last_slice_at: datetime | None = None
    rows: int = 0
    labels: int = 0
    rows_at_last_label: int = 0
    window: Window = field(default_factory=Window)
    verdicts: dict[str, deque[bool]] = field(default_factory=dict)
    """Per feature: whether each of the last windows was out of line."""
    means: dict[str, MeanWatch] = field(default_factory=dict)
    errors: ErrorWatch = field(default_factory=ErrorWatch)
    requests: tuple[int, int] = (0, 0)
    """Requests and failed requests since the last check."""
    reported: dict[Subject, tuple[int, float]] = field(default_factory=dict)
    """Per finding: rows (or labels) seen, and its statistic, when it was last reported."""
    consequence_at: int | None = None
    """Rows seen when the score or the error rate last moved."""

    def is_new(self, covers: OffsetRange) -> bool:
        """Return whether these offsets were not applied yet."""
        return covers.last_offset > self.applied.get((covers.topic, covers.partition), -1)

    def mark(self, piece: SliceSummarised) -> None:
        """Note that a slice was applied."""
        self.applied[piece.covers.topic, piece.covers.partition] = piece.covers.last_offset
        self.last_slice_at = max(self.last_slice_at or piece.occurred_at, piece.occurred_at)

    def persists(self, subject: str, out_of_line: bool) -> bool:
        """Note a window's verdict; return whether enough of the last verdicts agree, this one included."""
        needed, of = PERSISTENCE
        verdicts = self.verdicts.setdefault(subject, deque(maxlen=of))
        verdicts.append(out_of_line)
        return out_of_line and sum(verdicts) >= needed


Key = tuple[int, str, str]
"""(version, digest, variant)"""


@dataclass
class ModelState:
    """The table's value for one model."""

    versions: dict[Key, VersionState] = field(default_factory=dict)
    position: dict[int, int] = field(default_factory=dict)
    """Offset of the last applied slice, per partition of the slices."""

    def of(self, piece: SliceSummarised) -> VersionState:
        """Return the state of the slice's version and variant; drops the oldest when there are too many."""
        key = (piece.model_version, piece.model_digest, piece.variant)
        if key not in self.versions:
            self._make_room()
            self.versions[key] = VersionState()
        return self.versions[key]

    def _make_room(self) -> None:
        while len(self.versions) >= MAX_VERSIONS:
            del self.versions[min(self.versions, key=lambda key: _age(self.versions[key]))]


def _age(state: VersionState) -> tuple[bool, datetime | None]:
    return (state.last_slice_at is not None, state.last_slice_at)
