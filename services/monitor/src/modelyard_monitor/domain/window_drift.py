"""Drift of a full window: PSI of every feature, the score and the classes against training, judged together."""

from collections.abc import Mapping

from modelyard_contracts import DriftKind, Severity
from modelyard_contracts.manifest import FeatureReference, ModelManifest
from modelyard_monitor.domain.alerts import broken_values
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.psi import IncomparableWindows, Stability, adjusted, population_stability
from modelyard_monitor.domain.rules import CONSEQUENCE_ROWS, Rules
from modelyard_monitor.domain.spans import Window
from modelyard_monitor.domain.state import VersionState
from modelyard_monitor.domain.subjects import OUTPUTS, Subject, references_of
from modelyard_monitor.domain.variation import Variation


def window_findings(state: VersionState, window: Window, manifest: ModelManifest | None, rules: Rules) -> list[Finding]:
    """Judge a full window; features are corrected for their number by Benjamini-Hochberg."""
    references = references_of(manifest.reference if manifest else None)
    judged = {}
    for subject, counts in window.counts.items():
        one = _judge(references.get(subject), counts, state.variation(subject), rules)
        if one is not None:
            judged[subject] = one
    q_values = _q_values(judged)
    found: list[Finding] = []
    for subject, one in judged.items():
        out_of_line = q_values[subject] <= rules.psi_fdr and one.effect >= rules.psi_floor
        news = state.variation(subject).is_news(out_of_line, one.effect) or not rules.learns
        if state.persists(subject, out_of_line) and news:
            found.append(_moved(state, subject, one, q_values[subject], references[subject], window, rules))
        found += broken_values(subject, window.counts[subject], references[subject], window)
    return found


def severity_of(state: VersionState, kind: DriftKind) -> Severity:
    """Return INFO for an input that moved without consequence, else WARNING."""
    if kind is not DriftKind.FEATURE:
        return Severity.WARNING
    recent = state.consequence_at is not None and state.rows - state.consequence_at <= CONSEQUENCE_ROWS
    return Severity.WARNING if recent else Severity.INFO


def _judge(
    reference: FeatureReference | None, counts: list[int], variation: Variation, rules: Rules
) -> Stability | None:
    if reference is None or len(reference.counts) != len(counts):
        return None
    variation.add(counts)
    dispersion = variation.dispersion(reference.dispersion) if rules.learns else 1.0
    try:
        return population_stability(reference.counts, counts, dispersion)
    except IncomparableWindows:
        return None


def _q_values(judged: Mapping[Subject, Stability]) -> dict[Subject, float]:
    """Return adjusted p-values of the features, and the plain p-values of the outputs."""
    features = [subject for subject in judged if subject not in OUTPUTS]
    q_values = dict(zip(features, adjusted([judged[subject].p_value for subject in features]), strict=True))
    return q_values | {subject: judged[subject].p_value for subject in OUTPUTS if subject in judged}


def _moved(
    state: VersionState,
    subject: Subject,
    one: Stability,
    q_value: float,
    reference: FeatureReference,
    window: Window,
    rules: Rules,
) -> Finding:
    kind, name = subject
    what = "predicted classes" if kind is DriftKind.CLASSES else name
    return Finding(
        kind=kind,
        subject=name,
        severity=severity_of(state, kind),
        reason=f"the distribution of {what} differs from training: PSI {one.psi:.3f}, "
        f"of which {one.bias:.3f} would be {'chance' if one.dispersion == 1 else 'chance and usual variation'}",
        statistic=one.psi,
        threshold=rules.psi_floor + one.bias,
        detector="psi",
        p_value=one.p_value,
        q_value=q_value,
        reference_rows=one.reference_rows,
        current_rows=one.current_rows,
        reference=reference,
        current_counts=tuple(window.counts[subject]),
        covers=window.ranges(),
        window=window,
        dispersion=one.dispersion,
    )
