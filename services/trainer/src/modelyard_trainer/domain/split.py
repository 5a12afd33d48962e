"""Time-ordered split of labelled rows: rows for fitting come before rows for judging."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from modelyard_contracts.balance import held_out_rows
from modelyard_trainer.domain.errors import BadRequest

VALIDATION_SHARE: Final = 0.2
MIN_ROWS: Final = 100
FOLDS: Final = 3
FOLD_SHARE: Final = 6
"""A fold validates on one sixth of the used rows, so that the first one is fitted on half of them."""


@dataclass(frozen=True)
class Fold:
    """Rows [0, start) are for fitting, [start, stop) for judging."""

    start: int
    stop: int
    weight: float
    """Newer folds count more: they resemble the rows to come. The weights of all folds add up to 1."""


@dataclass(frozen=True)
class Split:
    """Rows [first, train) are for fitting, [train, used) for choosing, [used, rows) for the evaluator.

    Rows before `first` are older ones that only some training windows use.
    """

    train: int
    used: int
    rows: int
    first: int = 0

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Several time-ordered folds of the used rows, oldest first."""
        return self.folds_from(self.first)

    def folds_from(self, start: int) -> tuple[Fold, ...]:
        """Time-ordered folds of the rows [start, used), oldest first. The first one is fitted on half of them."""
        size, total = (self.used - start) // FOLD_SHARE, FOLDS * (FOLDS + 1) / 2
        return tuple(
            Fold(self.used - (FOLDS - n) * size, self.used - (FOLDS - n - 1) * size, (n + 1) / total)
            for n in range(FOLDS)
        )

    def after(self, older: int) -> "Split":
        """The same split with `older` rows before it."""
        shifted = {"train": self.train, "used": self.used, "rows": self.rows, "first": self.first}
        return replace(self, **{name: number + older for name, number in shifted.items()})


def split_rows(
    rows: int, holdout_rows: int, live_rows: int | None = None, targets: Sequence[object] | None = None
) -> Split:
    """Split rows that are ordered by time; the holdout is at most a fifth of the live ones. BadRequest if too few.

    live_rows: number of newest rows that are not from an older dataset; None: all. A holdout of all live rows would
    leave nothing new to learn from. targets: classes of all rows; the holdout grows until it has enough rows outside
    the majority class.
    """
    if rows < MIN_ROWS:
        raise BadRequest(f"dataset: {rows} labelled rows; at least {MIN_ROWS} are needed to train", field="dataset")
    used = rows - held_out_rows(targets or [], holdout_rows, rows if live_rows is None else live_rows)
    return Split(train=used - int(used * VALIDATION_SHARE), used=used, rows=rows)
