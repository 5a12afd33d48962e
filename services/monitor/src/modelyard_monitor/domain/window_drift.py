"""Drift of a full window: PSI of every feature and the score against training, judged together."""

from modelyard_contracts import DriftKind, Severity
from modelyard_contracts.manifest import FeatureReference, ModelManifest
from modelyard_monitor.domain.alerts import broken_values
from modelyard_monitor.domain.finding import SCORE, Finding, kind_of
from modelyard_monitor.domain.psi import IncomparableWindows, Stability, adjusted, population_stability
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import VersionState, Window

CONSEQUENCE_ROWS = 2_000
"""A feature's drift is a warning while score or errors moved within this many rows."""


def window_findings(state: VersionState, window: Window, manifest: ModelManifest | None, rules: Rules) -> list[Finding]:
    """Judge a full window; features are corrected for their number by Benjamini-Hochberg."""
    if manifest is None or manifest.reference is None:
        return []
    references = _references(manifest)
    judged = {name: one for name in window.counts if (one := _judge(references.get(name), window.counts[name]))}
    q_values = _q_values(judged)
    found: list[Finding] = []
    for name, one in judged.items():
        out_of_line = q_values[name] <= rules.psi_fdr and one.effect >= rules.psi_floor
        if state.persists(name, out_of_line):
            found.append(_moved(state, name, one, q_values[name], references[name], window, rules))
        found += broken_values(name, window.counts[name], references[name], window)
    return found


def severity_of(state: VersionState, kind: DriftKind) -> Severity:
    """Return INFO for an input that moved without consequence, else WARNING."""
    if kind is DriftKind.SCORE:
        return Severity.WARNING
    recent = state.consequence_at is not None and state.rows - state.consequence_at <= CONSEQUENCE_ROWS
    return Severity.WARNING if recent else Severity.INFO


def _references(manifest: ModelManifest) -> dict[str, FeatureReference]:
    assert manifest.reference is not None  # noqa: S101  checked by the caller
    references = {one.name: one for one in manifest.reference.features}
    if manifest.reference.score is not None:
        references[SCORE] = manifest.reference.score
    return references


def _judge(reference: FeatureReference | None, counts: list[int]) -> Stability | None:
    if reference is None or len(reference.counts) != len(counts):
        return None
    try:
        return population_stability(reference.counts, counts)
    except IncomparableWindows:
        return None


def _q_values(judged: dict[str, Stability]) -> dict[str, float]:
    """Return adjusted p-values of the features, and the plain p-value of the score."""
    features = [name for name in judged if name != SCORE]
    q_values = dict(zip(features, adjusted([judged[name].p_value for name in features]), strict=True))
    if SCORE in judged:
        q_values[SCORE] = judged[SCORE].p_value
    return q_values


def _moved(
    state: VersionState,
    name: str,
    one: Stability,
    q_value: float,
    reference: FeatureReference,
    window: Window,
    rules: Rules,
) -> Finding:
    kind, subject = kind_of(name)
    return Finding(
        kind=kind,
        subject=subject,
        severity=severity_of(state, kind),
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
