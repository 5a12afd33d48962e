"""Class balance of a target: the metric that sees every class, and the number of rows to hold out for it."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from modelyard_contracts.policies import Metric

RARE_SHARE: Final = 0.1
"""Share of rows outside the majority class below which accuracy hardly depends on them."""
MIN_MINORITY_ROWS: Final = 20
"""Held-out rows outside the majority class: with fewer, no difference between two versions can be shown."""
MAX_HOLDOUT_SHARE: Final = 0.2


def class_metric(counts: Collection[int]) -> Metric:
    """Accuracy, or macro F1 if answering the majority class is right on more than 90 % of the rows.

    counts: rows of each class.
    """
    return "macro_f1" if counts and max(counts) > (1 - RARE_SHARE) * sum(counts) else "accuracy"


def held_out_rows(targets: Sequence[object], wanted: int, live_rows: int | None = None) -> int:
    """Number of newest rows to hold out: `wanted`, or more until MIN_MINORITY_ROWS of them are outside the majority.

    targets: classes in the order of time. live_rows: number of newest rows that may be held out, None for all; at most
    a fifth of these is.
    """
    most = int((len(targets) if live_rows is None else live_rows) * MAX_HOLDOUT_SHARE)
    if wanted >= most or not len(targets):
        return min(wanted, most)
    [(majority, _)] = Counter(targets).most_common(1)
    minority = 0
    for held, target in enumerate(targets[: -most - 1 : -1], start=1):
        minority += target != majority
        if held >= wanted and minority >= MIN_MINORITY_ROWS:
            return held
    return most


def minority_rows(targets: Sequence[object]) -> int:
    """Rows outside the commonest class."""
    return len(targets) - max(Counter(targets).values(), default=0)
