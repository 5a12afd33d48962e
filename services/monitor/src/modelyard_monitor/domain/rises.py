"""What the two performance detectors share: a rise of the error, and the sliding window of labelled slices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelyard_contracts import OffsetRange


@dataclass(frozen=True)
class Rise:
    """The error went up."""

    detector: str
    before: float
    after: float
    before_labels: int
    after_labels: int
    p_value: float | None
    against: str
    """Description of `before`, for the reason."""
    covers: tuple[OffsetRange, ...]
    """The slices whose mean error is `after`."""
    change_at: datetime | None = None
    """Prediction time of the first row after the change; None if the labels show no single change."""

    @property
    def by(self) -> float:
        """Absolute rise."""
        return self.after - self.before

    @property
    def relative(self) -> float:
        """Rise as a share of `before`."""
        return self.after / self.before - 1 if self.before > 0 else math.inf


@dataclass(frozen=True)
class HeldOut:
    """The error on held-out rows, as the manifest states it; few rows state it only roughly."""

    error: float
    labels: int


@dataclass(frozen=True)
class Part:
    """One labelled slice. A window of whole slices can be counted again in SQL."""

    labels: int
    total: float
    """Sum of the errors: wrong answers, or absolute errors."""
    squares: float
    covers: OffsetRange


@dataclass(frozen=True)
class Errors:
    """Errors of some labels."""

    labels: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.labels if self.labels else 0.0

    @property
    def variance(self) -> float:
        return max(0.0, self.squares / self.labels - self.mean**2) if self.labels else 0.0

    def plus(self, part: Part) -> "Errors":
        """Return the errors with those of one more slice."""
        return Errors(self.labels + part.labels, self.total + part.total, self.squares + part.squares)


NO_ERRORS: Final = Errors()


def errors_of(parts: Sequence[Part]) -> Errors:
    """Return the errors of all parts."""
    found = NO_ERRORS
    for part in parts:
        found = found.plus(part)
    return found


def slide(parts: list[Part], part: Part, size: int) -> None:
    """Append a slice; drop the oldest ones as long as `size` labels remain."""
    parts.append(part)
    while sum(one.labels for one in parts) - parts[0].labels >= size:
        del parts[0]


def tail(parts: Sequence[Part], labels: int) -> list[Part]:
    """Return the newest slices that hold at least `labels` labels, oldest first."""
    found: list[Part] = []
    for part in reversed(parts):
        if sum(one.labels for one in found) >= labels:
            break
        found.insert(0, part)
    return found


def upper_tail(z: float) -> float:
    """Return P(Z > z) of the standard normal distribution."""
    return 0.5 * math.erfc(z / math.sqrt(2))
