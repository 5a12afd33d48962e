"""Alerts: failed requests, labels that stopped arriving, broken values."""

from collections.abc import Sequence

from modelyard_contracts import Severity, SliceSummarised
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference
from modelyard_monitor.domain.finding import Finding, kind_of
from modelyard_monitor.domain.rules import (
    BROKEN_VALUES_RISE,
    LABELS_MISSING_ROWS,
    REQUEST_ERRORS_CRITICAL,
    REQUEST_ERRORS_ROWS,
    REQUEST_ERRORS_WARNING,
)
from modelyard_monitor.domain.state import VersionState, Window


def failed_requests(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    """Return an alert when too many of the last requests failed."""
    rows, errors = state.requests[0] + piece.rows, state.requests[1] + piece.errors
    state.requests = (rows, errors)
    if rows < REQUEST_ERRORS_ROWS:
        return []
    state.requests = (0, 0)
    share = errors / rows
    if share < REQUEST_ERRORS_WARNING:
        return []
    critical = share >= REQUEST_ERRORS_CRITICAL
    return [
        Finding(
            kind=None,
            alert="error_rate_high",
            subject="requests",
            severity=Severity.CRITICAL if critical else Severity.WARNING,
            reason=f"{errors} of the last {rows} requests failed",
            statistic=share,
            threshold=REQUEST_ERRORS_CRITICAL if critical else REQUEST_ERRORS_WARNING,
            current_rows=rows,
            window=window_of(piece),
        )
    ]


def missing_labels(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    """Return an alert when there were labels once, but none for many predictions."""
    without = state.rows - state.rows_at_last_label
    if not state.labels or without < LABELS_MISSING_ROWS:
        return []
    return [
        Finding(
            kind=None,
            alert="labels_missing",
            subject="labels",
            severity=Severity.WARNING,
            reason=f"{without} predictions since the last label",
            statistic=float(without),
            threshold=float(LABELS_MISSING_ROWS),
            current_rows=without,
            window=window_of(piece),
        )
    ]


def broken_values(name: str, counts: Sequence[int], reference: FeatureReference, window: Window) -> list[Finding]:
    """Return alerts for a column that is missing, non-finite or full of unknown categories more often than trained."""
    rows, trained = sum(counts), sum(reference.counts)
    found = []
    for place, what in enumerate(RESERVED_BINS):
        share, usual = counts[place] / max(rows, 1), reference.counts[place] / max(trained, 1)
        if share - usual >= BROKEN_VALUES_RISE:
            found.append(_broken(kind_of(name)[1], what, share, usual, rows, window))
    return found


def _broken(subject: str, what: str, share: float, usual: float, rows: int, window: Window) -> Finding:
    words = "unseen" if what == "other" else what
    return Finding(
        kind=None,
        alert=f"{words}_values_high",
        subject=subject,
        severity=Severity.WARNING,
        reason=f"{share:.0%} of {subject} are {words.replace('_', '-')}, {usual:.0%} in training",
        statistic=share,
        threshold=usual + BROKEN_VALUES_RISE,
        current_rows=rows,
        window=window,
    )


def window_of(piece: SliceSummarised) -> Window:
    """Return a window that holds one slice."""
    window = Window()
    window.add(piece)
    return window
