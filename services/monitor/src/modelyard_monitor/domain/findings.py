"""Apply a slice to the state of its version, and return what is worth reporting. Pure; all state is handed in."""

from modelyard_contracts import DriftKind, FeatureSlice, OffsetRange, Severity, SliceSource, SliceSummarised
from modelyard_contracts.manifest import ModelManifest
from modelyard_monitor.domain.alerts import failed_requests, missing_labels, window_of
from modelyard_monitor.domain.error_rate import Rise
from modelyard_monitor.domain.finding import Finding, kind_of
from modelyard_monitor.domain.mean_shift import MeanWatch, Shift
from modelyard_monitor.domain.rules import CRITICAL_RISE, MEAN_SHIFT_SD, WORSE_FACTOR, Rules
from modelyard_monitor.domain.state import VersionState, Window
from modelyard_monitor.domain.window_drift import severity_of, window_findings


def apply(state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None, rules: Rules) -> list[Finding]:
    """Take in one slice and return the findings to report now. A slice that was applied before changes nothing."""
    if not state.is_new(piece.covers):
        return []
    if piece.source is SliceSource.LABELS:
        found = _labels(state, piece, manifest, rules)
    else:
        found = _predictions(state, piece, manifest, rules)
    state.mark(piece)
    return [one for one in found if _worth_reporting(state, one, rules)]


def _labels(state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None, rules: Rules) -> list[Finding]:
    state.labels += len(piece.outcomes)
    state.rows_at_last_label = state.rows
    promised = manifest.reference.error_rate if manifest and manifest.reference else None
    rises = state.errors.add(piece.outcomes, piece.covers, promised, rules)
    if not rises:
        return []
    state.consequence_at = state.rows
    rise = max(rises, key=lambda one: (one.p_value is not None, one.by))
    covers = tuple(part.covers for part in state.errors.window)
    return [_performance(rise, covers, rules)]


def _performance(rise: Rise, covers: tuple[OffsetRange, ...], rules: Rules) -> Finding:
    return Finding(
        kind=DriftKind.PERFORMANCE,
        subject="error_rate",
        severity=Severity.CRITICAL if rise.by >= CRITICAL_RISE else Severity.WARNING,
        reason=f"the error rate rose from {rise.before:.3f} ({rise.against}) to {rise.after:.3f} "
        f"over the last {rise.after_labels} labels",
        statistic=rise.by,
        threshold=rules.error_rise,
        detector=rise.detector,
        p_value=rise.p_value,
        reference_rows=rise.before_labels,
        current_rows=rise.after_labels,
        covers=covers,
    )


def _predictions(
    state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None, rules: Rules
) -> list[Finding]:
    state.rows += piece.rows
    found = [*failed_requests(state, piece), *missing_labels(state, piece)]
    for part in (*piece.features, *((piece.score,) if piece.score else ())):
        shift = state.means.setdefault(part.name, MeanWatch()).add(part, rules.micro_batch_rows)
        if shift is not None:
            found.append(_mean_moved(state, piece, part, shift))
    state.window.add(piece)
    if state.window.rows >= rules.psi_window_rows:
        window, state.window = state.window, Window()
        found += window_findings(state, window, manifest, rules)
    if any(one.kind is DriftKind.SCORE for one in found):
        state.consequence_at = state.rows
    return found


def _mean_moved(state: VersionState, piece: SliceSummarised, part: FeatureSlice, shift: Shift) -> Finding:
    kind, subject = kind_of(part.name)
    window = window_of(piece)
    return Finding(
        kind=kind,
        subject=subject,
        severity=severity_of(state, kind),
        reason=f"the mean of {subject} moved from {shift.before:.4g} to {shift.after:.4g}, "
        f"{abs(shift.in_sd):.2f} standard deviations",
        statistic=abs(shift.in_sd),
        threshold=MEAN_SHIFT_SD,
        detector="adwin",
        reference_rows=state.means[part.name].baseline[0],
        current_rows=part.finite,
        covers=window.ranges(),
        window=window,
    )


def _worth_reporting(state: VersionState, found: Finding, rules: Rules) -> bool:
    """Return False within the rest period of a finding, unless it is much worse; notes that it is reported now."""
    seen = state.labels if found.kind is DriftKind.PERFORMANCE else state.rows
    last = state.reported.get(found.name)
    if last is not None and seen - last[0] < rules.rearm_rows and found.statistic < last[1] * WORSE_FACTOR:
        return False
    state.reported[found.name] = (seen, found.statistic)
    return True
