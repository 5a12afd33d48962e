"""Detector state of one model: per version and variant, with the offsets of the slices that were applied."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from modelyard_contracts import OffsetRange, SliceSummarised
from modelyard_monitor.domain.absolute_error import AbsoluteErrorWatch
from modelyard_monitor.domain.error_rate import ErrorRateWatch
from modelyard_monitor.domain.mean_shift import MeanWatch
from modelyard_monitor.domain.rises import Errors, errors_of
from modelyard_monitor.domain.rules import MIN_LABELS, PERSISTENCE
from modelyard_monitor.domain.spans import LabelSpan, Source, Span, Window, merged
from modelyard_monitor.domain.subjects import Subject
from modelyard_monitor.domain.variation import Variation

MAX_VERSIONS: Final = 6
"""Watched versions and variants per model; the one that was idle for longest is dropped."""
MAX_BLOCKS: Final = 32
"""Newest blocks whose offsets are stored for evidence."""


@dataclass
class Blocks:
    """Slices of predictions in blocks of at least a micro-batch; micro-batches consist of whole blocks."""

    filling: Span = field(default_factory=Span)
    number: int = 0
    """Number of the block that is being filled."""
    closed: deque[Span] = field(default_factory=lambda: deque(maxlen=MAX_BLOCKS))

    def add(self, piece: SliceSummarised, rows: int) -> int | None:
        """Append a slice; return the number of the block when it is full, else None."""
        self.filling.add(piece)
        if self.filling.rows < rows:
            return None
        self.closed.append(self.filling)
        self.filling = Span()
        self.number += 1
        return self.number - 1

    def since(self, first: int) -> Span | None:
        """Return the closed blocks from this number on; None when some of them are no longer stored."""
        count = self.number - first
        if not 0 < count <= len(self.closed):
            return None
        return merged(list(self.closed)[-count:])


@dataclass
class VersionState:
    """One version under one variant."""

    applied: dict[Source, int] = field(default_factory=dict)
    """Last applied offset per source partition, so that a repeated slice changes nothing."""
    last_slice_at: datetime | None = None
    rows: int = 0
    labels: int = 0
    window: Window = field(default_factory=Window)
    verdicts: dict[Subject, deque[bool]] = field(default_factory=dict)
    """Per subject: whether each of the last windows was out of line."""
    variations: dict[Subject, Variation] = field(default_factory=dict)
    means: dict[Subject, MeanWatch] = field(default_factory=dict)
    blocks: Blocks = field(default_factory=Blocks)
    error_rate: ErrorRateWatch = field(default_factory=ErrorRateWatch)
    absolute_error: AbsoluteErrorWatch = field(default_factory=AbsoluteErrorWatch)
    requests: Span = field(default_factory=Span)
    """Requests since the last check."""
    whole: Span = field(default_factory=Span)
    """Requests since the last check of unusable rows."""
    received: LabelSpan = field(default_factory=LabelSpan)
    """Labels since the last check of rejected ones."""
    unlabelled: Span = field(default_factory=Span)
    """Predictions since the last label."""
    reported: dict[tuple[str, str, str], tuple[int, float]] = field(default_factory=dict)
    """Per finding: rows (or labels) seen, and its statistic, when it was last reported."""
    consequence_at: int | None = None
    """Rows seen when an output or the error last moved."""
    errors_rose_at: int | None = None
    """Rows seen when the error last rose."""
    labels_until: datetime | None = None
    """Middle of the prediction times that the newest slice of labels belongs to: few early labels do not count."""

    def __setstate__(self, stored: dict[str, Any]) -> None:
        """Restore a pickled state; fields that its release did not have yet start empty."""
        self.__dict__.update(vars(VersionState()) | stored)

    def is_new(self, covers: OffsetRange) -> bool:
        """Return whether these offsets were not applied yet."""
        return covers.last_offset > self.applied.get((covers.topic, covers.partition), -1)

    def mark(self, piece: SliceSummarised) -> None:
        """Note that a slice was applied."""
        self.applied[piece.covers.topic, piece.covers.partition] = piece.covers.last_offset
        self.last_slice_at = max(self.last_slice_at or piece.occurred_at, piece.occurred_at)

    def variation(self, subject: Subject) -> Variation:
        """Return the normal variation of a subject."""
        return self.variations.setdefault(subject, Variation())

    def persists(self, subject: Subject, out_of_line: bool) -> bool:
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

    @property
    def labels(self) -> int:
        """Labels of all watched versions."""
        return sum(version.labels for version in self.versions.values())

    def errors_before(self, piece: SliceSummarised) -> Errors | None:
        """Return the newest errors of the version that served this variant before; None without enough labels."""
        earlier = [key for key in self.versions if key[0] < piece.model_version and key[2] == piece.variant]
        if not earlier:
            return None
        state = self.versions[max(earlier)]
        found = errors_of(state.error_rate.window or state.absolute_error.window)
        return found if found.labels >= MIN_LABELS else None

    def _make_room(self) -> None:
        while len(self.versions) >= MAX_VERSIONS:
            del self.versions[min(self.versions, key=lambda key: _age(self.versions[key]))]


def _age(state: VersionState) -> tuple[bool, datetime | None]:
    return (state.last_slice_at is not None, state.last_slice_at)
