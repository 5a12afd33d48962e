"""Which action a finding expects to pay, and why. Rules in order; decision 0083 explains them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from modelyard_contracts import DriftKind, Recommendation, Severity, SliceSummarised
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.label_state import Labels, error_in_words, errors_rose, label_status
from modelyard_monitor.domain.performance import ERROR_RATE
from modelyard_monitor.domain.rises import Errors
from modelyard_monitor.domain.rules import CONSEQUENCE_ROWS, Rules
from modelyard_monitor.domain.state import VersionState
from modelyard_monitor.domain.subjects import OUTPUTS

Advice = tuple[Recommendation, str]

ALERTS: Final[Mapping[str, Advice]] = {
    "unusable_rows_high": (Recommendation.CHECK_INPUT, "the producer of these requests breaks the signature"),
    "labels_do_not_match": (Recommendation.CHECK_LABELS, "labels that do not match are compared with nothing"),
    "labels_missing": (Recommendation.CHECK_LABELS, "without labels a rise of the error stays unseen"),
}

NO_LABELS: Final = (
    "no label has arrived for any version of the model, and a retraining learns from labels: send some of these "
    "predictions, and check the producers of the inputs"
)


def advised(
    state: VersionState,
    found: Finding,
    piece: SliceSummarised,
    earlier: Errors | None,
    rules: Rules,
    model_labels: int = 0,
) -> Finding:
    """Return the finding with its recommendation.

    earlier: recent errors of the version that served before, if they are stored. model_labels: labels that any version
    of the model has got. Drift of outputs that labels show to be harmless becomes INFO.
    """
    advice, reason = _advice(state, found, piece, earlier, rules)
    if advice is Recommendation.RETRAIN and not model_labels and not state.labels:
        advice, reason = Recommendation.CHECK_LABELS, NO_LABELS
    harmless = advice is Recommendation.NOTHING and found.kind is not None
    severity = Severity.INFO if harmless else found.severity
    return replace(found, recommendation=advice, because=reason, severity=severity)


def _advice(
    state: VersionState, found: Finding, piece: SliceSummarised, earlier: Errors | None, rules: Rules
) -> Advice:
    if found.kind is None:
        return _of_alert(found, piece)
    if found.kind is DriftKind.PERFORMANCE:
        return _of_performance(state, found, piece, earlier, rules)
    rule: Callable[[VersionState, Finding], Advice]
    rule = _of_feature if found.kind is DriftKind.FEATURE else _of_output
    return rule(state, found)


def _of_alert(found: Finding, piece: SliceSummarised) -> Advice:
    if found.alert in ALERTS:
        return ALERTS[found.alert]
    if found.alert == "error_rate_high":
        if piece.model_version > 1:
            return Recommendation.ROLL_BACK, f"requests of version {piece.model_version} fail; retraining repairs none"
        return Recommendation.CHECK_INPUT, "requests fail, and no earlier version could answer them"
    if (found.of, found.subject) in OUTPUTS:
        return Recommendation.ROLL_BACK, f"version {piece.model_version} returns values that nothing can use"
    return Recommendation.CHECK_INPUT, f"the producer of {found.subject} is the likely cause"


def _of_performance(
    state: VersionState, found: Finding, piece: SliceSummarised, earlier: Errors | None, rules: Rules
) -> Advice:
    broken = _broken_input(state)
    if broken:
        return Recommendation.CHECK_INPUT, f"the errors rose while {broken}; retraining would learn from broken values"
    now = _error_now(found)
    young = state.labels <= 2 * rules.error_window_labels
    if young and earlier is not None and earlier.mean + (now - found.before) / 2 < now:
        return (
            Recommendation.ROLL_BACK,
            f"version {piece.model_version} is worse since its first labels; the version before it had an error of "
            f"{earlier.mean:.4g} over its last {earlier.labels} labels",
        )
    return Recommendation.RETRAIN, f"{found.current_rows} labels of the time after the change show the rise"


def _error_now(found: Finding) -> float:
    if found.subject == ERROR_RATE:
        return found.before + found.statistic
    return found.before * (1 + found.statistic)


def _of_output(state: VersionState, found: Finding) -> Advice:
    if errors_rose(state):
        return Recommendation.RETRAIN, "the errors rose as well"
    broken = _broken_input(state)
    if broken:
        return Recommendation.CHECK_INPUT, f"the outputs moved while {broken}"
    status = label_status(state, found)
    if status.labels is Labels.ARRIVED:
        return Recommendation.NOTHING, f"{error_in_words(state)}, which is no rise"
    if status.labels is Labels.COMING:
        return Recommendation.WAIT_FOR_LABELS, f"{status.labels.value}; they will show whether the errors rose"
    return (
        Recommendation.RETRAIN,
        f"{status.labels.value} ({status.rows} predictions without), so the drift is the only evidence",
    )


def _of_feature(state: VersionState, found: Finding) -> Advice:
    if _broken_input(state, found.subject):
        return Recommendation.CHECK_INPUT, f"{_broken_input(state, found.subject)}; its producer is the likely cause"
    consequence = state.consequence_at is not None and state.rows - state.consequence_at <= CONSEQUENCE_ROWS
    if not consequence:
        return Recommendation.NOTHING, "the input moved, but outputs and errors did not"
    if _moved_features(state) <= 1:
        return (
            Recommendation.CHECK_INPUT,
            f"only {found.subject} moved, and outputs or errors with it; check its producer before a retraining",
        )
    return _of_output(state, found)


def _moved_features(state: VersionState) -> int:
    """Return how many inputs were out of line in the last window."""
    return sum(1 for (kind, _), last in state.verdicts.items() if kind is DriftKind.FEATURE and last and last[-1])


def _broken_input(state: VersionState, name: str = "") -> str:
    """Return in words which input has broken values now, '' if none; name: only this one."""
    for (alert, subject, _), (rows, share) in sorted(state.reported.items()):
        recent = state.rows - rows <= CONSEQUENCE_ROWS and alert.endswith("_values_high")
        if recent and name in ("", subject) and subject not in {one for _, one in OUTPUTS}:
            what = alert.removesuffix("_values_high").replace("_", "-")
            return f"{share:.0%} of {subject} are {what}"
    return ""
