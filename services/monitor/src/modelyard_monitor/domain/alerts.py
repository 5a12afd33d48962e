"""Alerts: failed requests, unusable rows, labels that stopped arriving or do not match, broken values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Level:
    """Share of a span from which an alert is raised, and from which it is critical; None: it never is."""

    warning: float
    critical: float | None = None

    def severity(self, share: float) -> Severity | None:
        """Return the severity of a share; None below the first level."""
        if self.critical is not None and share >= self.critical:
            return Severity.CRITICAL
        return Severity.WARNING if share >= self.warning else None

    def threshold(self, severity: Severity) -> float:
        """Return the share from which an alert has this severity."""
        return self.critical if severity is Severity.CRITICAL and self.critical is not None else self.warning


REQUEST_ERRORS: Final = Level(REQUEST_ERRORS_WARNING, REQUEST_ERRORS_CRITICAL)
UNUSABLE_ROWS: Final = Level(UNUSABLE_ROWS_SHARE)
REJECTED_LABELS: Final = Level(REJECTED_LABELS_WARNING, REJECTED_LABELS_CRITICAL)


def _share_alert(
    alert: str, subject: str, level: Level, count: int, span: Span, reason: Callable[[], str]
) -> list[Finding]:
    """Return an alert when `count` of the span's rows reach a level. reason: called only for an alert."""
    share = count / span.rows
    severity = level.severity(share)
    if severity is None:
        return []
    return [
        Finding(
            kind=None,
            alert=alert,
            subject=subject,
            severity=severity,
            reason=reason(),
            statistic=share,
            threshold=level.threshold(severity),
            current_rows=span.rows,
            covers=span.ranges() if isinstance(span, LabelSpan) else (),
            window=span,
        )
    ]


def failed_requests(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    """Return an alert when too many of the last requests failed."""
    state.requests.add(piece)
    if state.requests.rows < REQUEST_ERRORS_ROWS:
        return []
    span, state.requests = state.requests, Span()
    return _share_alert(
        "error_rate_high",
        "requests",
        REQUEST_ERRORS,
        span.errors,
        span,
        lambda: f"{span.errors} of the last {span.rows} requests failed",
    )


def unusable_rows(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    """Return an alert when too many of the last requests were answered, but break the signature."""
    state.whole.add(piece)
    if state.whole.rows < UNUSABLE_ROWS_CHECK:
        return []
    span, state.whole = state.whole, Span()
    return _share_alert(
        "unusable_rows_high",
        "rows",
        UNUSABLE_ROWS,
        span.unusable,
        span,
        lambda: (
            f"{span.unusable} of the last {span.rows} predictions do not have the signature's number of "
            "features; they are stored, but left out of the counts and of training; correct their producer"
        ),
    )


def rejected_labels(state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None) -> list[Finding]:
    """Return an alert when too many of the last labels do not match, with the likely remedy."""
    state.received.add(piece)
    if state.received.rows < REJECTED_LABELS_CHECK:
        return []
    span, state.received = state.received, LabelSpan()
    count = span.rejected.total()
    classes = manifest.signature.classes if manifest else ()
    return _share_alert(
        "labels_do_not_match", "labels", REJECTED_LABELS, count, span, lambda: _mismatch(count, span, classes)
    )


def _mismatch(count: int, span: LabelSpan, classes: tuple[str, ...]) -> str:
    texts = ", ".join(f"{text!r} {times} times" for text, times in span.texts.most_common(LISTED_TEXTS))
    what = remedy(span.rejected, dict(span.texts.most_common()), classes)
    return f"{count} of the last {span.rows} labels do not match: {texts}; {what}"


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
