"""Findings about agreement with labels: the error rate of a classifier, the absolute error of a regression."""

from collections.abc import Callable

from modelyard_contracts import DriftKind, Severity, SliceSummarised
from modelyard_contracts.manifest import ModelManifest, ReferenceProfile
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.rises import HeldOut, Rise
from modelyard_monitor.domain.rules import CRITICAL_RELATIVE_RISE, CRITICAL_RISE, REFERENCE_LABELS, Rules
from modelyard_monitor.domain.spans import Span
from modelyard_monitor.domain.state import VersionState

ERROR_RATE = "error_rate"
MEAN_ABSOLUTE_ERROR = "mean_absolute_error"


def label_findings(
    state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None, rules: Rules
) -> list[Finding]:
    """Take in a slice of labels; return at most one finding per kind of error."""
    if not piece.rows:  # all of them were rejected
        return []
    state.labels += len(piece.outcomes) + len(piece.absolute_errors)
    state.unlabelled = Span()
    middle = piece.window_start + (piece.window_end - piece.window_start) / 2
    state.labels_until = max(state.labels_until or middle, middle)
    reference = manifest.reference if manifest else None
    error_rate = _held_out(reference, reference.error_rate) if reference else None
    absolute_error = _held_out(reference, reference.mean_absolute_error) if reference else None
    wrong = state.error_rate.add(piece.outcomes, piece.covers, error_rate, rules, piece.window_start)
    far = state.absolute_error.add(piece.absolute_errors, piece.covers, absolute_error, rules, piece.window_start)
    if wrong or far:
        state.consequence_at = state.errors_rose_at = state.rows
    return [*_strongest(wrong, _error_rate, rules), *_strongest(far, _absolute_error, rules)]


def _held_out(reference: ReferenceProfile, error: float | None) -> HeldOut | None:
    """Return an error of the manifest with the number of rows it was measured on: those of the outputs' reference."""
    if error is None:
        return None
    rows = sum(reference.score.counts) if reference.score else REFERENCE_LABELS
    return HeldOut(error, max(1, min(rows, REFERENCE_LABELS)))


def _strongest(rises: list[Rise], finding: Callable[[Rise, Rules], Finding], rules: Rules) -> list[Finding]:
    """Return the finding of the largest rise; one with a p-value comes first."""
    if not rises:
        return []
    return [finding(max(rises, key=lambda rise: (rise.p_value is not None, rise.by)), rules)]


def _error_rate(rise: Rise, rules: Rules) -> Finding:
    reason = f"the error rate rose from {rise.before:.3f} ({rise.against}) to {rise.after:.3f}"
    critical = rise.by >= CRITICAL_RISE
    return _risen(rise, ERROR_RATE, rise.by, rules.error_rise, reason, critical=critical)


def _absolute_error(rise: Rise, rules: Rules) -> Finding:
    reason = (
        f"the mean absolute error rose by {rise.relative:.0%}, from {rise.before:.4g} ({rise.against}) "
        f"to {rise.after:.4g}"
    )
    critical = rise.relative >= CRITICAL_RELATIVE_RISE
    return _risen(rise, MEAN_ABSOLUTE_ERROR, rise.relative, rules.absolute_error_rise, reason, critical=critical)


def _risen(rise: Rise, subject: str, statistic: float, threshold: float, reason: str, *, critical: bool) -> Finding:
    return Finding(
        kind=DriftKind.PERFORMANCE,
        subject=subject,
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        reason=f"{reason} over the last {rise.after_labels} labels",
        statistic=statistic,
        threshold=threshold,
        detector=rise.detector,
        p_value=rise.p_value,
        before=rise.before,
        reference_rows=rise.before_labels,
        current_rows=rise.after_labels,
        covers=rise.covers,
        change_at=rise.change_at,
    )
