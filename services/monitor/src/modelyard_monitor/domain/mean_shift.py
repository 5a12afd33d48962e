"""ADWIN over means of micro-batches: detects a shift of the mean within some hundred rows, at no cost per row.

A micro-batch consists of whole blocks (see state.Block), so that SQL can compute its mean again from offsets.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from modelyard_contracts import FeatureSlice
from modelyard_monitor.domain.adwin import Adwin
from modelyard_monitor.domain.rules import BASELINE_ROWS, MEAN_SHIFT_SD

RECENT_BATCHES: Final = 5
"""Last micro-batches whose mean is reported as `after`."""

Moments = tuple[int, float, float]
"""(rows, sum, sum of squares) of finite values."""
NOTHING: Final[Moments] = (0, 0.0, 0.0)


@dataclass(frozen=True)
class Shift:
    """A shift of a mean."""

    before: float
    """Mean before the last micro-batches."""
    after: float
    """Mean over the rows of the last micro-batches."""
    spread: float
    """Standard deviation of the first rows."""
    after_rows: int
    first_block: int
    """Number of the block where the last micro-batches begin."""

    @property
    def in_sd(self) -> float:
        """(after - before) in standard deviations of the rows."""
        return (self.after - self.before) / self.spread


@dataclass
class MeanWatch:
    """Watches the mean of one feature or the score, standardised by the first rows as ADWIN depends on scale."""

    adwin: Adwin = field(default_factory=lambda: Adwin(clock=1, recent=RECENT_BATCHES))
    block: Moments = NOTHING
    """Moments of the block that is being filled."""
    rows: int = 0
    total: float = 0.0
    first_block: int = 0
    """Of the micro-batch that is being filled: rows, sum, number of its first block."""
    recent: deque[tuple[int, int, float]] = field(default_factory=lambda: deque(maxlen=RECENT_BATCHES))
    """(first block, rows, sum) of the last micro-batches."""
    baseline: Moments = NOTHING
    """Moments of the first rows."""
    known: tuple[float, float] | None = None
    """Lowest and highest level of the mean that a shift was reported from or to."""

    def is_news(self, shift: Shift) -> bool:
        """Note a shift; return whether it leads to a level outside of those known: a cycle returns to the same ones.

        The margin is MEAN_SHIFT_SD standard deviations, or a quarter of the known range if that is more.
        """
        low, high = self.known or (shift.before, shift.before)
        margin = max(MEAN_SHIFT_SD * shift.spread, (high - low) / 4)
        news = self.known is None or not low - margin <= shift.after <= high + margin
        self.known = (min(low, shift.before, shift.after), max(high, shift.before, shift.after))
        return news

    def add(self, part: FeatureSlice) -> None:
        """Take in a slice's moments of finite values."""
        if part.finite and math.isfinite(part.total) and math.isfinite(part.total_squares):
            self.block = _sum(self.block, (part.finite, part.total, part.total_squares))

    def close(self, block: int, batch_rows: int) -> Shift | None:
        """End the block with this number; return the shift that a full micro-batch reveals, if any."""
        moments, self.block = self.block, NOTHING
        if self.baseline[0] < BASELINE_ROWS:
            self.baseline = _sum(self.baseline, moments)
            return None
        if not self.rows:
            self.first_block = block
        self.rows += moments[0]
        self.total += moments[1]
        if self.rows < batch_rows:
            return None
        batch = (self.first_block, self.rows, self.total)
        self.rows, self.total = 0, 0.0
        return self._observe(batch, batch_rows)

    def _observe(self, batch: tuple[int, int, float], batch_rows: int) -> Shift | None:
        centre, spread = self._scale()
        mean = batch[2] / batch[1]
        if not spread or not math.isfinite(mean):
            return None
        if self.adwin.drift_detected:  # ADWIN starts empty after a drift
            self.recent.clear()
        self.recent.append(batch)
        unit = spread / math.sqrt(batch_rows)
        self.adwin.update((mean - centre) / unit)
        if not self.adwin.drift_detected:
            return None
        rows = sum(one[1] for one in self.recent)
        after = sum(one[2] for one in self.recent) / rows
        return Shift(centre + self.adwin.before * unit, after, spread, rows, self.recent[0][0])

    def _scale(self) -> tuple[float, float]:
        n, total, squares = self.baseline
        centre = total / n
        return centre, math.sqrt(max(0.0, squares / n - centre * centre))


def _sum(left: Moments, right: Moments) -> Moments:
    return (left[0] + right[0], left[1] + right[1], left[2] + right[2])
