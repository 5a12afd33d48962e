"""Moment at which the errors of a version rose: the best single split of its labelled rows. Pure.

Least-squares change point of a mean (Hinkley 1970, Biometrika 57, 1; Bai 1994, J. Time Series Analysis 15, 453).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_monitor.domain.rises import Rise

MIN_ROWS: Final = 30
"""Labelled rows on each side of a split."""
MIN_SCORE: Final = 12.0
"""Smallest squared standard score of a split that counts as a change; of 1,000 simulated streams without one, 7 reached
it in 1,000 rows and 23 in 10,000."""
BLOCK_LABELS: Final = 50
MAX_BLOCKS: Final = 128
"""Newest blocks of a history: at least 6,400 labels."""
OUTLIERS: Final = 0.99
"""Errors above this quantile count as the quantile, so that one huge error of a regression is no change."""


@dataclass(frozen=True)
class Split:
    """The errors before and after a change."""

    place: int
    """Index of the first row after the change."""
    before: float
    """Mean error of the rows before it."""
    after: float


def rise_of(errors: Sequence[float]) -> Split | None:
    """Return the split with the clearest rise of the mean; None if no rise is beyond chance.

    errors: one per labelled row in the order of prediction, shape (rows,), finite: 0 or 1 of a classifier, absolute
    errors of a regression.
    """
    values = np.asarray(errors, dtype=np.float64)
    rows = len(values)
    if rows < 2 * MIN_ROWS:
        return None
    values = np.minimum(values, np.quantile(values, OUTLIERS))
    return _best(np.ones(rows), values, float(np.sum(values**2)))


@dataclass(frozen=True)
class Block:
    """Consecutive labels of one version."""

    start: datetime
    """Prediction time of its first row."""
    labels: int
    total: float
    """Sum of the errors."""
    squares: float


@dataclass(frozen=True)
class ErrorHistory:
    """Errors of the newest labels in blocks, so that a state of bounded size can name the moment of a change."""

    blocks: tuple[Block, ...] = ()

    def plus(self, start: datetime, labels: int, total: float, squares: float) -> "ErrorHistory":
        """Return the history with one more slice; it extends the newest block until that has BLOCK_LABELS labels."""
        last = self.blocks[-1] if self.blocks else None
        if last is None or last.labels >= BLOCK_LABELS:
            return ErrorHistory((*self.blocks, Block(start, labels, total, squares))[-MAX_BLOCKS:])
        wider = Block(last.start, last.labels + labels, last.total + total, last.squares + squares)
        return ErrorHistory((*self.blocks[:-1], wider))

    @property
    def rise_at(self) -> datetime | None:
        """Prediction time of the first row after the clearest rise; None if no rise is beyond chance."""
        labels = np.array([block.labels for block in self.blocks], dtype=np.float64)
        totals = np.array([block.total for block in self.blocks], dtype=np.float64)
        found = _best(labels, totals, sum(block.squares for block in self.blocks))
        return None if found is None else self.blocks[found.place].start


NO_HISTORY: Final = ErrorHistory()


def dated(rises: list[Rise], history: ErrorHistory) -> list[Rise]:
    """Return the rises with the moment of the change that the history shows."""
    return [replace(rise, change_at=history.rise_at) for rise in rises]


def _best(counts: NDArray[Any], totals: NDArray[Any], squares: float) -> Split | None:
    """Return the best split of blocks of rows, by the squared standard score of its rise; None if it is chance.

    counts, totals: rows and sum of the errors per block, shape (blocks,). squares: sum of the squared errors.
    """
    rows, total = float(counts.sum()), float(totals.sum())
    left, sums = np.cumsum(counts)[:-1], np.cumsum(totals)[:-1]
    if not len(left):
        return None
    before, after = sums / left, (total - sums) / (rows - left)
    gain = np.where(after > before, left * (rows - left) / rows * (after - before) ** 2, 0.0)
    gain = np.where((left >= MIN_ROWS) & (rows - left >= MIN_ROWS), gain, 0.0)
    place = int(np.argmax(gain))
    within = (squares - total**2 / rows - float(gain[place])) / max(rows - 2, 1.0)
    if gain[place] <= MIN_SCORE * max(within, 1e-12):
        return None
    return Split(place + 1, float(before[place]), float(after[place]))
