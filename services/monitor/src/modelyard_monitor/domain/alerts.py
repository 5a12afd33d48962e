"""Alerts: failed requests, unusable rows, labels that stopped arriving or do not match, broken values."""

from collections.abc import Sequence
from typing import Final

from modelyard_contracts import Severity, SliceSummarised
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference, ModelManifest
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.labels import remedy
from modelyard_monitor.domain.rules import (
    BROKEN_VALUES_RISE,
    LABELS_MISSING_ROWS,
    REJECTED_LABELS_CHECK,
    REJECTED_LABELS_CRITICAL,
    REJECTED_LABELS_WARNING,
    REQUEST_ERRORS_CRITICAL,
    REQUEST_ERRORS_ROWS,
    REQUEST_ERRORS_WARNING,
    UNUSABLE_ROWS_CHECK,
    UNUSABLE_ROWS_SHARE,
)
from modelyard_monitor.domain.spans import LabelSpan, Span, Window
from modelyard_monitor.domain.state import VersionState
from modelyard_monitor.domain.subjects import Subject

LISTED_TEXTS: Final = 3
"""Rejected labels that an alert quotes."""


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


def unusable_rows(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    """Return an alert when too many of the last requests were answered, but break the signature."""
    state.whole.add(piece)
    if state.whole.rows < UNUSABLE_ROWS_CHECK:
        return []
    span, state.whole = state.whole, Span()
    share = span.unusable / span.rows
    if share < UNUSABLE_ROWS_SHARE:
        return []
    return [
        Finding(
            kind=None,
            alert="unusable_rows_high",
            subject="rows",
            severity=Severity.WARNING,
            reason=f"{span.unusable} of the last {span.rows} predictions do not have the signature's number of "
            "features; they are stored, but left out of the counts and of training; correct their producer",
            statistic=share,
            threshold=UNUSABLE_ROWS_SHARE,
            current_rows=span.rows,
            window=span,
        )
    ]


def rejected_labels(state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None) -> list[Finding]:
    """Return an alert when too many of the last labels do not match, with the likely remedy."""
    state.received.add(piece)
    if state.received.rows < REJECTED_LABELS_CHECK:
        return []
    span, state.received = state.received, LabelSpan()
    count = span.rejected.total()
    share = count / span.rows
    if share < REJECTED_LABELS_WARNING:
        return []
    critical = share >= REJECTED_LABELS_CRITICAL
    texts = ", ".join(f"{text!r} {times} times" for text, times in span.texts.most_common(LISTED_TEXTS))
    what = remedy(span.rejected, dict(span.texts.most_common()), manifest.signature.classes if manifest else ())
    return [
        Finding(
            kind=None,
            alert="labels_do_not_match",
            subject="labels",
            severity=Severity.CRITICAL if critical else Severity.WARNING,
            reason=f"{count} of the last {span.rows} labels do not match: {texts}; {what}",
            statistic=share,
            threshold=REJECTED_LABELS_CRITICAL if critical else REJECTED_LABELS_WARNING,
            current_rows=span.rows,
            covers=span.ranges(),
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
