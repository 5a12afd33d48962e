"""The values of PSI over time and of histograms, and readable labels of bins."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from modelyard_contracts import DriftKind
from modelyard_contracts.manifest import RESERVED_BINS
from modelyard_monitor.domain.reports import Report

MAX_SHOWN_DIGITS: Final = 4


class StabilityBucket(Report):
    """PSI of one feature or output of one version and variant in one interval."""

    at: datetime
    version: int
    variant: str
    kind: DriftKind
    feature: str
    """Empty for score and classes."""
    psi: float
    expected_without_drift: float
    p_value: float
    rows: int
    """Predictions that were counted in the interval."""
    reference_rows: int


class StabilityOverTime(Report):
    """PSI by interval, oldest first."""

    model: str
    bucket_s: int
    """Length of an interval; longer than requested when the time span needs more than 500 intervals."""
    items: tuple[StabilityBucket, ...]


class HistogramBin(Report):
    """Rows of one bin in training and in the window."""

    bin: int
    """-1 missing, -2 non-finite, -3 other, then the profile's bins."""
    label: str
    """Such as `20 to 30`, `below 20`, a category, or `missing`."""
    lower: float | None
    """Lower edge of a numeric bin; None is open."""
    upper: float | None
    category: str | None
    reference: int
    current: int


class Histogram(Report):
    """Counts of one feature or output of one version and variant, over the bins of its reference profile."""

    version: int
    variant: str
    kind: DriftKind
    feature: str
    reference_rows: int
    current_rows: int
    bins: tuple[HistogramBin, ...]


class Histograms(Report):
    """Counts in training and in a window."""

    model: str
    window_s: int
    items: tuple[Histogram, ...]


def histogram_bins(reference: Sequence[dict[str, Any]], current: dict[int, int]) -> tuple[HistogramBin, ...]:
    """Return the bins in order, reserved ones last.

    reference: rows of table reference_bins of one subject. current: rows per bin.
    """
    ordered = sorted(reference, key=lambda row: (row["bin"] < 0, abs(row["bin"])))
    regular = [row for row in ordered if row["bin"] >= 0]
    uppers = {row["bin"]: above["lower"] for row, above in pairwise(regular)}
    return tuple(_bin(row, uppers.get(row["bin"]), current.get(row["bin"], 0)) for row in ordered)


def _bin(row: dict[str, Any], upper: float | None, current: int) -> HistogramBin:
    return HistogramBin(
        bin=row["bin"],
        label=_label(row, upper),
        lower=row["lower"],
        upper=upper,
        category=row["category"],
        reference=row["reference"],
        current=current,
    )


def _label(row: dict[str, Any], upper: float | None) -> str:
    if row["bin"] < 0:
        return RESERVED_BINS[-row["bin"] - 1].replace("_", "-")
    if row["category"] is not None:
        return str(row["category"])
    lower = row["lower"]
    if lower is None:
        return "all values" if upper is None else f"below {_shown(upper)}"
    return f"{_shown(lower)} or more" if upper is None else f"{_shown(lower)} to {_shown(upper)}"


def _shown(edge: float) -> str:
    return f"{edge:.{MAX_SHOWN_DIGITS}g}" if abs(edge) < 10**MAX_SHOWN_DIGITS else f"{edge:.0f}"
