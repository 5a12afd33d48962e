"""Decide whether a drift becomes a run: ordered rules, each with its own reason. Time is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelyard_contracts import DriftDetected, DriftKind, Recommendation, Severity
from modelyard_contracts.policies import RetrainPolicy

_RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
BUDGET_WINDOW: Final = timedelta(days=1)


@dataclass(frozen=True)
class Facts:
    """State of a model when a drift arrives."""

    open_run: str | None
    """Id of the open run, if any."""
    last_ended_at: datetime | None
    """End of the newest run that was not refused."""
    runs_in_window: int
    """Runs created within BUDGET_WINDOW, without refused ones."""
    serving_version: int | None = None
    """None if unknown: the rule about it does not apply."""


@dataclass(frozen=True)
class Refusal:
    """Why no run was created; `code` is stable, `reason` is for people."""

    code: str
    reason: str


def refuse(drift: DriftDetected, policy: RetrainPolicy, facts: Facts, now: datetime) -> Refusal | None:
    """Return why this drift does not become a run; None if it does."""
    return _by_policy(drift, policy, facts) or refuse_by_timing(policy, facts, now)


def _by_policy(drift: DriftDetected, policy: RetrainPolicy, facts: Facts) -> Refusal | None:
    """Rules that do not depend on the time."""
    if not policy.enabled:
        return Refusal("disabled", "the model's retraining policy is switched off")
    if drift.kind.value not in policy.kinds:
        return Refusal("kind", f"{drift.kind.value} drift starts no run; the policy names {', '.join(policy.kinds)}")
    if policy.react_to == "recommended" and _not_recommended(drift):
        advice = f"{drift.recommendation}: {drift.recommendation_reason}"
        return Refusal("recommendation", f"the monitor does not recommend a retraining, but {advice}")
    if _RANK[drift.severity] < _RANK[policy.min_severity]:
        return Refusal("severity", f"severity {drift.severity.value} is below {policy.min_severity.value}")
    if facts.serving_version is not None and drift.model_version != facts.serving_version:
        serving = facts.serving_version
        return Refusal("version", f"version {drift.model_version} drifted, but version {serving} serves now")
    return None


def _not_recommended(drift: DriftDetected) -> bool:
    """Return whether the monitor advises against a retraining. A rise of the error is reason enough for one."""
    return drift.kind is not DriftKind.PERFORMANCE and drift.recommendation not in ("", Recommendation.RETRAIN)


def refuse_by_timing(policy: RetrainPolicy, facts: Facts, now: datetime) -> Refusal | None:
    """Return why no run may start now, whatever asks for it: rules about open and earlier runs."""
    if facts.open_run is not None:
        return Refusal("open_run", f"run {facts.open_run} of this model is still open")
    if facts.last_ended_at is not None:
        rested_s = (now - facts.last_ended_at).total_seconds()
        if rested_s < policy.cool_down_s:
            return Refusal(
                "cool_down", f"the last run ended {rested_s:.0f} s ago; the cool-down is {policy.cool_down_s:.0f} s"
            )
    if facts.runs_in_window >= policy.max_runs_per_day:
        return Refusal("budget", f"{facts.runs_in_window} runs in 24 hours; the budget is {policy.max_runs_per_day}")
    return None


def should_publish(refusal: Refusal, last_published: datetime | None, policy: RetrainPolicy, now: datetime) -> bool:
    """Return whether to publish a refusal: once per cool-down and rule, so that drift does not flood the topic.

    last_published: when a refusal by the same rule was last published for the model.
    """
    return last_published is None or (now - last_published).total_seconds() >= max(policy.cool_down_s, 1.0)
