"""ADWIN over means of micro-batches: detects a shift of the mean within some hundred rows, at no cost per row."""

import math
from dataclasses import dataclass, field

from modelyard_contracts import FeatureSlice
from modelyard_monitor.domain.adwin import Adwin
from modelyard_monitor.domain.rules import BASELINE_ROWS, MEAN_SHIFT_SD


@dataclass(frozen=True)
class Shift:
    """A shift of a mean."""

    before: float
    after: float
    in_sd: float
    """(after - before) / standard deviation of the rows."""


@dataclass
class MeanWatch:
    """Watches the mean of one feature or the score, standardised by the first rows as ADWIN depends on scale."""

    adwin: Adwin = field(default_factory=lambda: Adwin(clock=1))
    rows: int = 0
    total: float = 0.0
    baseline: tuple[int, float, float] = (0, 0.0, 0.0)
    """rows, sum and sum of squares of the first rows."""

    def add(self, part: FeatureSlice, batch_rows: int) -> Shift | None:
        """Take in a slice's moments (of finite values); return the shift it reveals, if it is large enough."""
        if not part.finite or not (math.isfinite(part.total) and math.isfinite(part.total_squares)):
            return None
        if self.baseline[0] < BASELINE_ROWS:
            n, total, squares = self.baseline
            self.baseline = (n + part.finite, total + part.total, squares + part.total_squares)
            return None
        self.rows += part.finite
        self.total += part.total
        if self.rows < batch_rows:
            return None
        mean, self.rows, self.total = self.total / self.rows, 0, 0.0
        return self._observe(mean, batch_rows)

    def _observe(self, mean: float, batch_rows: int) -> Shift | None:
        centre, spread = self._scale()
        if not spread or not math.isfinite(mean):
            return None
        self.adwin.update((mean - centre) / spread * math.sqrt(batch_rows))
        if not self.adwin.drift_detected:
            return None
        before, after = self.adwin.before, self.adwin.after
        in_sd = (after - before) / math.sqrt(batch_rows)
        if abs(in_sd) < MEAN_SHIFT_SD:
            return None
        unit = spread / math.sqrt(batch_rows)
        return Shift(centre + before * unit, centre + after * unit, in_sd)

    def _scale(self) -> tuple[float, float]:
        n, total, squares = self.baseline
        centre = total / n
        return centre, math.sqrt(max(0.0, squares / n - centre * centre))
