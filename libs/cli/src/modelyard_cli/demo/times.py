"""The time column of a stream: order, gaps, equal times, and times that cannot be."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.tables.table import Table, UnfitFile
from modelyard_contracts.usable.values import has_offset

LONG_GAP: Final = 50
"""A gap of this many times the mean distance between different times, or more, is reported."""
DATE_CHARACTERS: Final = 10
"""A date without a time of day needs no zone."""


def in_order(table: Table, column: str, moments: Sequence[datetime], now: datetime) -> tuple[Table, tuple[str, ...]]:
    """Sort rows by time, those of equal times in the order of the file; return notes on what was found.

    UnfitFile names the line of a time after `now`, or of a time without a zone where others have one.
    """
    _check_zones(table, column)
    late = next((at for at, moment in enumerate(moments) if moment > now), None)
    if late is not None:
        raise UnfitFile(
            f"{table.path}, line {table.lines[late]}: {moments[late]:%Y-%m-%dT%H:%M:%SZ} in the time column "
            f"{shown(column)!r} is in the future; correct it, or leave such rows out"
        )
    order = sorted(range(len(moments)), key=moments.__getitem__)
    times = np.array([moment.timestamp() for moment in moments])
    return table.only(order), (*_order_notes(column, times), *gap_notes(times[order]))


def gap_notes(times: NDArray[np.float64]) -> list[str]:
    """Notes on rows of equal times and on the longest gap. times: seconds since 1970, rising."""
    gaps = np.diff(times)
    notes = []
    if equal := int((gaps == 0).sum()):
        notes.append(f"{equal:,} of {len(times):,} rows have the time of the row before; their order is kept")
    mean = float(gaps[gaps > 0].mean()) if (gaps > 0).any() else 0.0
    if mean and (longest := float(gaps.max())) >= LONG_GAP * mean:
        began = datetime.fromtimestamp(float(times[int(gaps.argmax())]), UTC)
        notes.append(
            f"no rows for {_span(longest)} after {began:%Y-%m-%dT%H:%M:%SZ}; rows are {_span(mean)} apart on average"
        )
    return notes


def _order_notes(column: str, times: NDArray[np.float64]) -> list[str]:
    early = int((np.diff(times) < 0).sum())
    if not early:
        return []
    return [f"the rows are not in order of time ({early:,} are earlier than the row before); sorted by {shown(column)}"]


def _check_zones(table: Table, column: str) -> None:
    cells = table.cells(column)
    zoned = [len(cell) > DATE_CHARACTERS and has_offset(cell) for cell in cells]
    if any(zoned) and not all(zoned):
        line = table.lines[zoned.index(False)]
        raise UnfitFile(
            f"{table.path}, line {line}: {shown(cells[zoned.index(False)])!r} in the time column {shown(column)!r} has "
            "no time zone, but other rows have one; write all of them with their zone, as 2026-01-31T12:00:00Z"
        )


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.3g} s"
