"""Charts as data: what `static/charts.js` draws, and what their table shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Line:
    """One line. values: as many as the chart has x values; None where there is none.

    low, high: a band around the line, such as a confidence interval.
    """

    label: str
    values: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Mark:
    """A line over the whole height, such as a promotion. link: where a click leads."""

    at: datetime | float
    label: str
    link: str = ""


@dataclass(frozen=True)
class Chart:
    """Lines over time (x: moments) or over a count (x: numbers). unit: of the values, such as `%` or `ms`."""

    title: str
    x: Sequence[datetime | float]
    lines: Sequence[Line]
    marks: Sequence[Mark] = field(default_factory=tuple)
    unit: str = ""
    limit: float | None = None
    """A horizontal line, such as a threshold."""
    x_label: str = ""

    @property
    def over_time(self) -> bool:
        return bool(self.x) and isinstance(self.x[0], datetime)

    @property
    def empty(self) -> bool:
        return not any(value is not None for line in self.lines for value in line.values)

    def data(self) -> dict[str, Any]:
        """JSON for the script that draws it; moments are seconds of the epoch."""
        return {
            "title": self.title,
            "time": self.over_time,
            "xLabel": self.x_label,
            "unit": self.unit,
            "limit": self.limit,
            "x": [_place(value) for value in self.x],
            "lines": [
                {
                    "label": line.label,
                    "values": list(line.values),
                    "low": None if line.low is None else list(line.low),
                    "high": None if line.high is None else list(line.high),
                    "dashed": line.dashed,
                }
                for line in self.lines
            ],
            "marks": [{"at": _place(mark.at), "label": mark.label, "link": mark.link} for mark in self.marks],
        }


def _place(value: datetime | float) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)


@dataclass(frozen=True)
class Bar:
    """One bin of a pair of histograms, with the share of rows in it on either side."""

    label: str
    reference: float
    current: float
    reference_rows: int
    current_rows: int


def histogram(bins: Sequence[tuple[str, int, int]]) -> list[Bar]:
    """Shares per bin from (label, reference rows, current rows)."""
    references, currents = sum(row[1] for row in bins) or 1, sum(row[2] for row in bins) or 1
    return [Bar(label, one / references, two / currents, one, two) for label, one, two in bins]
