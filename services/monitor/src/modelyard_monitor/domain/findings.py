"""Apply a slice to the state of its version, and return what is worth reporting. Pure; all state is handed in."""

from modelyard_contracts import DriftKind, SliceSource, SliceSummarised
from modelyard_contracts.manifest import ModelManifest
from modelyard_monitor.domain.alerts import failed_requests, missing_labels, rejected_labels, unusable_rows
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.mean_shift import MeanWatch, Shift
from modelyard_monitor.domain.performance import label_findings
from modelyard_monitor.domain.recommendation import advised
from modelyard_monitor.domain.rises import Errors
from modelyard_monitor.domain.rules import MEAN_SHIFT_SD, WORSE_FACTOR, Rules
from modelyard_monitor.domain.spans import Window
from modelyard_monitor.domain.state import VersionState
from modelyard_monitor.domain.subjects import OUTPUTS, Subject, subjects_of
from modelyard_monitor.domain.window_drift import severity_of, window_findings


def apply(
    state: VersionState,
    piece: SliceSummarised,
    manifest: ModelManifest | None,
    rules: Rules,
    earlier: Errors | None = None,
    model_labels: int = 0,
) -> list[Finding]:
    """Take in one slice and return the findings to report now. A slice that was applied before changes nothing.

    earlier: recent errors of the version that served before, and model_labels: labels that any version of the model has
    got, both for the recommendation.
    """
    if not state.is_new(piece.covers):
        return []
    of_source = _label_findings if piece.source is SliceSource.LABELS else _prediction_findings
    found = of_source(state, piece, manifest, rules)
    state.mark(piece)
    worth = [one for one in found if _worth_reporting(state, one, rules)]
    return [advised(state, one, piece, earlier, rules, model_labels) for one in worth]


def _prediction_findings(
    state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None, rules: Rules
) -> list[Finding]:
    state.rows += piece.rows
    found = [*failed_requests(state, piece), *unusable_rows(state, piece), *missing_labels(state, piece)]
    found += _mean_findings(state, piece, rules)
    state.window.add(piece)
    if state.window.rows >= rules.psi_window_rows:
        window, state.window = state.window, Window()
        found += window_findings(state, window, manifest, rules)
    if any((one.kind, one.subject) in OUTPUTS for one in found):
        state.consequence_at = state.rows
    return found


def _label_findings(
    state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None, rules: Rules
) -> list[Finding]:
    return [*rejected_labels(state, piece, manifest), *label_findings(state, piece, manifest, rules)]


def _mean_findings(state: VersionState, piece: SliceSummarised, rules: Rules) -> list[Finding]:
    for subject, part in subjects_of(piece):
        state.means.setdefault(subject, MeanWatch()).add(part)
    block = state.blocks.add(piece, rules.micro_batch_rows)
    if block is None:
        return []
    shifts = {subject: watch.close(block, rules.micro_batch_rows) for subject, watch in state.means.items()}
    return [
        _mean_moved(state, subject, shift)
        for subject, shift in shifts.items()
        if shift is not None
        and abs(shift.in_sd) >= MEAN_SHIFT_SD
        and (state.means[subject].is_news(shift) or not rules.learns)
    ]


def _mean_moved(state: VersionState, subject: Subject, shift: Shift) -> Finding:
    kind, name = subject
    span = state.blocks.since(shift.first_block)
    return Finding(
        kind=kind,
        subject=name,
        severity=severity_of(state, kind),
        reason=f"the mean of {name} moved from {shift.before:.4g} to {shift.after:.4g}, "
        f"{abs(shift.in_sd):.2f} standard deviations",
        statistic=abs(shift.in_sd),
        threshold=MEAN_SHIFT_SD,
        detector="adwin",
        before=shift.before,
        spread=shift.spread,
        reference_rows=state.means[subject].baseline[0],
        current_rows=shift.after_rows,
        covers=span.ranges() if span else (),
        window=span or state.blocks.closed[-1],
    )


def _worth_reporting(state: VersionState, found: Finding, rules: Rules) -> bool:
    """Return False within the rest period of a finding, unless it is much worse; notes that it is reported now."""
    seen = state.labels if found.kind is DriftKind.PERFORMANCE else state.rows
    last = state.reported.get(found.name)
    if last is not None and seen - last[0] < rules.rearm_rows and found.statistic < last[1] * WORSE_FACTOR:
        return False
    state.reported[found.name] = (seen, found.statistic)
    return True
