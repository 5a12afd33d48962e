"""Slices in, findings out: what moved, beyond chance and beyond a size that matters. Pure; all state is handed in."""

from dataclasses import dataclass, field
from typing import Final

from modelyard_contracts import DriftKind, FeatureSlice, OffsetRange, Severity, SliceSource, SliceSummarised
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference, ModelManifest
from modelyard_monitor.domain.errors import Rise
from modelyard_monitor.domain.means import MeanWatch, Shift
from modelyard_monitor.domain.psi import IncomparableWindows, Stability, adjusted, population_stability
from modelyard_monitor.domain.rules import (
    BROKEN_VALUES_RISE,
    CRITICAL_RISE,
    LABELS_MISSING_ROWS,
    MEAN_SHIFT_SD,
    REQUEST_ERRORS_CRITICAL,
    REQUEST_ERRORS_ROWS,
    REQUEST_ERRORS_WARNING,
    WORSE_FACTOR,
    Rules,
)
from modelyard_monitor.domain.state import VersionState, Window

SCORE: Final = "(score)"
"""The score's name among features of slices; in findings it is called `score`."""


@dataclass(frozen=True)
class Finding:
    """A drift (kind is set) or an alert (alert is set), before it becomes an event."""

    kind: DriftKind | None
    subject: str
    severity: Severity
    reason: str
    statistic: float
    threshold: float
    detector: str = ""
    alert: str = ""
    p_value: float | None = None
    q_value: float | None = None
    reference_rows: int = 0
    current_rows: int = 0
    reference: FeatureReference | None = None
    current_counts: tuple[int, ...] = ()
    covers: tuple[OffsetRange, ...] = ()
    window: Window = field(default_factory=Window)

    @property
    def name(self) -> tuple[str, str]:
        """What is said at most once per rest."""
        return (self.kind or self.alert, self.subject)


def apply(state: VersionState, piece: SliceSummarised, manifest: ModelManifest | None, rules: Rules) -> list[Finding]:
    """Take in one slice; what it revealed and is worth saying now. A slice that was applied before changes nothing."""
    if not state.is_new(piece.covers):
        return []
    if piece.source is SliceSource.LABELS:
        found = _labels(state, piece, manifest, rules)
    else:
        found = _predictions(state, piece, manifest, rules)
    state.mark(piece)
    return [one for one in found if _worth_saying(state, one, rules)]


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
    found = [*_requests(state, piece), *_missing_labels(state, piece)]
    for part in (*piece.features, *((piece.score,) if piece.score else ())):
        shift = state.means.setdefault(part.name, MeanWatch()).add(part, rules.micro_batch_rows)
        if shift is not None:
            found.append(_mean_moved(state, piece, part, shift))
    state.window.add(piece)
    if state.window.rows >= rules.psi_window_rows:
        window, state.window = state.window, Window()
        found += _window_closed(state, window, manifest, rules)
    if any(one.kind is DriftKind.SCORE for one in found):
        state.consequence_at = state.rows
    return found


def _kind_of(name: str) -> tuple[DriftKind, str]:
    return (DriftKind.SCORE, "score") if name == SCORE else (DriftKind.FEATURE, name)


def _severity(state: VersionState, kind: DriftKind, rest_rows: int = 2_000) -> Severity:
    """An input that moved without consequence is worth knowing, not worth acting on."""
    if kind is DriftKind.SCORE:
        return Severity.WARNING
    recent = state.consequence_at is not None and state.rows - state.consequence_at <= rest_rows
    return Severity.WARNING if recent else Severity.INFO


def _mean_moved(state: VersionState, piece: SliceSummarised, part: FeatureSlice, shift: Shift) -> Finding:
    kind, subject = _kind_of(part.name)
    window = Window()
    window.add(piece)
    return Finding(
        kind=kind,
        subject=subject,
        severity=_severity(state, kind),
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


def _window_closed(state: VersionState, window: Window, manifest: ModelManifest | None, rules: Rules) -> list[Finding]:
    if manifest is None or manifest.reference is None:
        return []
    references = {one.name: one for one in manifest.reference.features}
    if manifest.reference.score is not None:
        references[SCORE] = manifest.reference.score
    judged = {name: one for name in window.counts if (one := _judge(references.get(name), window.counts[name]))}
    features = [name for name in judged if name != SCORE]
    q_values = dict(zip(features, adjusted([judged[name].p_value for name in features]), strict=True))
    if SCORE in judged:
        q_values[SCORE] = judged[SCORE].p_value
    found: list[Finding] = []
    for name, one in judged.items():
        out_of_line = q_values[name] <= rules.psi_fdr and one.effect >= rules.psi_floor
        if state.persists(name, out_of_line):
            found.append(_moved(state, name, one, q_values[name], references[name], window, rules))
        found += _broken_values(name, references[name], window)
    return found


def _judge(reference: FeatureReference | None, counts: list[int]) -> Stability | None:
    if reference is None or len(reference.counts) != len(counts):
        return None
    try:
        return population_stability(reference.counts, counts)
    except IncomparableWindows:
        return None


def _moved(
    state: VersionState,
    name: str,
    one: Stability,
    q_value: float,
    reference: FeatureReference,
    window: Window,
    rules: Rules,
) -> Finding:
    kind, subject = _kind_of(name)
    return Finding(
        kind=kind,
        subject=subject,
        severity=_severity(state, kind),
        reason=f"the distribution of {subject} differs from training: PSI {one.psi:.3f}, "
        f"of which {one.bias:.3f} would be chance",
        statistic=one.psi,
        threshold=rules.psi_floor + one.bias,
        detector="psi",
        p_value=one.p_value,
        q_value=q_value,
        reference_rows=one.reference_rows,
        current_rows=one.current_rows,
        reference=reference,
        current_counts=tuple(window.counts[name]),
        covers=window.ranges(),
        window=window,
    )


def _broken_values(name: str, reference: FeatureReference, window: Window) -> list[Finding]:
    """Alerts: a column that went missing, non-finite or full of unseen values."""
    counts, rows, trained = window.counts[name], sum(window.counts[name]), sum(reference.counts)
    found = []
    for place, what in enumerate(RESERVED_BINS):
        share, usual = counts[place] / max(rows, 1), reference.counts[place] / max(trained, 1)
        if share - usual >= BROKEN_VALUES_RISE:
            words = what.replace("_", "-") if what != "other" else "unseen"
            found.append(
                Finding(
                    kind=None,
                    alert=f"{'unseen' if what == 'other' else what}_values_high",
                    subject=_kind_of(name)[1],
                    severity=Severity.WARNING,
                    reason=f"{share:.0%} of {_kind_of(name)[1]} are {words}, {usual:.0%} in training",
                    statistic=share,
                    threshold=usual + BROKEN_VALUES_RISE,
                    current_rows=rows,
                    window=window,
                )
            )
    return found


def _requests(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    rows, errors = state.requests[0] + piece.rows, state.requests[1] + piece.errors
    state.requests = (rows, errors)
    if rows < REQUEST_ERRORS_ROWS:
        return []
    state.requests = (0, 0)
    share = errors / rows
    if share < REQUEST_ERRORS_WARNING:
        return []
    critical = share >= REQUEST_ERRORS_CRITICAL
    window = Window()
    window.add(piece)
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
            window=window,
        )
    ]


def _missing_labels(state: VersionState, piece: SliceSummarised) -> list[Finding]:
    without = state.rows - state.rows_at_last_label
    if not state.labels or without < LABELS_MISSING_ROWS:
        return []
    window = Window()
    window.add(piece)
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
            window=window,
        )
    ]


def _worth_saying(state: VersionState, found: Finding, rules: Rules) -> bool:
    """Not said within the last rows, or much worse than it was then; notes that it is said now."""
    seen = state.labels if found.kind is DriftKind.PERFORMANCE else state.rows
    last = state.said.get(found.name)
    if last is not None and seen - last[0] < rules.rearm_rows and found.statistic < last[1] * WORSE_FACTOR:
        return False
    state.said[found.name] = (seen, found.statistic)
    return True
