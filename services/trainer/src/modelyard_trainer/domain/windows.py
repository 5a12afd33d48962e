"""Training windows: which of the rows before a moment a fit learns from, and how much each of them counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelyard_contracts.policies import Window as WindowName
from modelyard_trainer.domain.split import Split

MIN_SINCE_CHANGE_ROWS: Final = 300
"""Rows to learn from and to choose by since the change; fewer cannot show which window is better."""
MAX_HALF_LIVES: Final = 20
"""Rows of a lower weight than 2 ** -20 are left out: they change no fit, and much lower ones would become 0."""


@dataclass(frozen=True)
class Window:
    """Rows [first, stop) for a fit that learns from the rows before `stop`.

    half_life_rows: rows after which the weight of a row has halved; None if all rows count alike.
    """

    name: WindowName
    first: int
    half_life_rows: int | None = None


@dataclass(frozen=True)
class Windows:
    """Windows that a run tries, in the order of the policy.

    usual: window on which the estimators are compared first. change: first row after the change; None if it is unknown
    or too few rows follow it. left_out: reason by name.
    """

    usual: Window
    tried: tuple[Window, ...]
    change: int | None
    left_out: Mapping[str, str]


def windows_of(names: Sequence[WindowName], split: Split, half_life_rows: int, change: int | None) -> Windows:
    """Return the windows that the rows allow. If they allow none of those named, it is the usual one.

    split: of all rows; `split.first` is the first row of the usual window. change: number of the first row after the
    change; None if no change is known, `split.rows` if no row follows it.
    """
    usual = Window("recent" if split.first or "recent" in names else "all", split.first)
    left_out: dict[str, str] = {name: reason for name in names if (reason := _unusable(name, names, split, change))}
    aged = Window("age_weighted", max(0, split.rows - MAX_HALF_LIVES * half_life_rows), half_life_rows)
    found = {
        "recent": Window("recent", split.first),
        "since_change": Window("since_change", change or 0),
        "age_weighted": aged,
        "all": Window("all", 0),
    }
    tried = tuple(found[name] for name in names if name not in left_out)
    known = change if change is not None and not _few_since(split, change) else None
    return Windows(usual, tried or (usual,), known, left_out)


def _unusable(name: WindowName, names: Sequence[WindowName], split: Split, change: int | None) -> str:
    """Return why a window is not tried; '' if it is."""
    if name == "all" and not split.first and "recent" in names:
        return "no row is older than those of recent"
    if name != "since_change":
        return ""
    if change is None:
        return "no change is known"
    if change == 0:
        return "the change is not within the rows"
    return _few_since(split, change)


def _few_since(split: Split, change: int) -> str:
    rows = max(0, split.used - change)
    if rows >= MIN_SINCE_CHANGE_ROWS:
        return ""
    return f"{rows} rows to learn from since the change; at least {MIN_SINCE_CHANGE_ROWS} are needed"
