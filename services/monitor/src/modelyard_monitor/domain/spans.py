"""Spans: consecutive slices as offsets per partition, with their rows and their time, so that SQL can count them again.

Within one source partition the slices of a version arrive in order, and no row between two of them is missing: first
and last offset name all rows in between.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from modelyard_contracts import OffsetRange, SliceSummarised
from modelyard_monitor.domain.subjects import Subject, subjects_of

Source = tuple[str, int]
"""(topic, partition)"""


@dataclass
class Span:
    """Consecutive slices of one version and variant."""

    rows: int = 0
    errors: int = 0
    unusable: int = 0
    """Rows that break the signature."""
    start: datetime | None = None
    end: datetime | None = None
    covers: dict[Source, tuple[int, int]] = field(default_factory=dict)
    """First and last offset per source partition."""

    def add(self, piece: SliceSummarised) -> None:
        """Append a slice."""
        self.rows += piece.rows
        self.errors += piece.errors
        self.unusable += piece.unusable_rows
        self._extend(piece.window_start, piece.window_end)
        self.cover(piece.covers)

    def merge(self, other: "Span") -> None:
        """Append a later span."""
        self.rows += other.rows
        self.errors += other.errors
        self.unusable += other.unusable
        if other.start is not None and other.end is not None:
            self._extend(other.start, other.end)
        for one in other.ranges():
            self.cover(one)

    def cover(self, offsets: OffsetRange) -> None:
        """Extend the offsets of one source partition."""
        source = (offsets.topic, offsets.partition)
        first = self.covers.get(source, (offsets.first_offset, 0))[0]
        self.covers[source] = (first, offsets.last_offset)

    def ranges(self) -> tuple[OffsetRange, ...]:
        """Return the offsets, ordered by topic and partition."""
        return tuple(
            OffsetRange(topic=topic, partition=partition, first_offset=first, last_offset=last)
            for (topic, partition), (first, last) in sorted(self.covers.items())
        )

    def _extend(self, start: datetime, end: datetime) -> None:
        self.start = min(self.start or start, start)
        self.end = max(self.end or end, end)


@dataclass
class LabelSpan(Span):
    """Consecutive slices of labels of one version and variant; `rows` counts accepted and rejected labels."""

    rejected: Counter[str] = field(default_factory=Counter)
    """Labels by the reason for which they were rejected."""
    texts: Counter[str] = field(default_factory=Counter)

    def add(self, piece: SliceSummarised) -> None:
        """Append a slice."""
        super().add(piece)
        self.rows += sum(piece.rejected_labels.values())
        self.rejected.update(piece.rejected_labels)
        self.texts.update(piece.rejected_texts)


@dataclass
class Window(Span):
    """A span with the counts of every subject, while it is being filled."""

    counts: dict[Subject, list[int]] = field(default_factory=dict)

    def add(self, piece: SliceSummarised) -> None:
        """Append a slice with its counts. Counts over other bins than the window's are left out."""
        super().add(piece)
        for subject, part in subjects_of(piece):
            have = self.counts.setdefault(subject, [0] * len(part.counts))
            if len(have) == len(part.counts):
                self.counts[subject] = [a + b for a, b in zip(have, part.counts, strict=True)]


def merged(spans: Iterable[Span]) -> Span:
    """Return one span over all of them, in order."""
    whole = Span()
    for one in spans:
        whole.merge(one)
    return whole
