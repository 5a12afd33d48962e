"""Alerts: failed requests, labels that stopped arriving, broken values."""

from collections.abc import Sequence

from modelyard_contracts import Severity, SliceSummarised
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.rules import (
    BROKEN_VALUES_RISE,
    LABELS_MISSING_ROWS,
    REQUEST_ERRORS_CRITICAL,
    REQUEST_ERRORS_ROWS,
    REQUEST_ERRORS_WARNING,
)
from modelyard_monitor.domain.spans import Span, Window
from modelyard_monitor.domain.state import VersionState
from modelyard_monitor.domain.subjects import Subject


def failed_requests(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    """Return an alert when too many of the last requests failed."""
    state.requests.add(piece)
    if state.requests.rows < REQUEST_ERRORS_ROWS:
        return []
    span, state.requests = state.requests, Span()
    share = span.errors / span.rows
    if share < REQUEST_ERRORS_WARNING:
        return []
    critical = share >= REQUEST_ERRORS_CRITICAL
    return [
        Finding(
            kind=None,
            alert="error_rate_high",
            subject="requests",
            severity=Severity.CRITICAL if critical else Severity.WARNING,
            reason=f"{span.errors} of the last {span.rows} requests failed",
            statistic=share,
            threshold=REQUEST_ERRORS_CRITICAL if critical else REQUEST_ERRORS_WARNING,
            current_rows=span.rows,
            window=span,
        )
    ]


def missing_labels(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    """Return an alert when there were labels once, but none for many predictions."""
    state.unlabelled.add(piece)
    span = state.unlabelled
    if not state.labels or span.rows < LABELS_MISSING_ROWS:
        return []
    return [
        Finding(
            kind=None,
            alert="labels_missing",
            subject="labels",
            severity=Severity.WARNING,
            reason=f"{span.rows} predictions since the last label",
            statistic=float(span.rows),
            threshold=float(LABELS_MISSING_ROWS),
            current_rows=span.rows,
            window=span,
        )
    ]


def broken_values(
    subject: Subject, counts: Sequence[int], reference: FeatureReference, window: Window
) -> list[Finding]:
    """Return alerts for a column that is missing, non-finite or full of unknown categories more often than trained."""
    rows, trained = sum(counts), sum(reference.counts)
    found = []
    for place, what in enumerate(RESERVED_BINS):
        share, usual = counts[place] / max(rows, 1), reference.counts[place] / max(trained, 1)
        if share - usual >= BROKEN_VALUES_RISE:
            found.append(_broken(subject, what, share, usual, rows, reference, window))
    return found


def _broken(
    subject: Subject, what: str, share: float, usual: float, rows: int, reference: FeatureReference, window: Window
) -> Finding:
    words = "unseen" if what == "other" else what
    kind, name = subject
    return Finding(
        kind=None,
        alert=f"{words}_values_high",
        of=kind,
        subject=name,
        severity=Severity.WARNING,
        reason=f"{share:.0%} of {name} are {words.replace('_', '-')}, {usual:.0%} in training",
        statistic=share,
        threshold=usual + BROKEN_VALUES_RISE,
        current_rows=rows,
        reference=reference,
        covers=window.ranges(),
        window=window,
    )
