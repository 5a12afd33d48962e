"""Whether a drift becomes a run: rules in their order, each with its sentence. Time is handed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelyard_contracts import DriftDetected, Severity
from modelyard_contracts.policies import RetrainPolicy

_RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
BUDGET_WINDOW: Final = timedelta(days=1)


@dataclass(frozen=True)
class Facts:
    """What the trainer knows of a model when a drift arrives."""

    open_run: str | None
    """Id of the run that is under way."""
    last_ended_at: datetime | None
    """Of the newest run that was not refused."""
    runs_in_window: int
    """Begun within BUDGET_WINDOW, refused ones left out."""
    serving_version: int | None = None
    """None: not known, then the rule about it is passed over."""


@dataclass(frozen=True)
class Refusal:
    """No run; `code` is stable, `reason` is for people."""

    code: str
    reason: str


def refuse(drift: DriftDetected, policy: RetrainPolicy, facts: Facts, now: datetime) -> Refusal | None:
    """Why this drift does not become a run; None when it does."""
    return _not_meant(drift, policy, facts) or _not_now(policy, facts, now)


def _not_meant(drift: DriftDetected, policy: RetrainPolicy, facts: Facts) -> Refusal | None:
    """Rules that would say the same tomorrow."""
    if not policy.enabled:
        return Refusal("disabled", "the model's retraining policy is switched off")
    if drift.kind.value not in policy.kinds:
        return Refusal("kind", f"{drift.kind.value} drift starts no run; the policy names {', '.join(policy.kinds)}")
    if _RANK[drift.severity] < _RANK[policy.min_severity]:
        return Refusal("severity", f"severity {drift.severity.value} is below {policy.min_severity.value}")
    if facts.serving_version is not None and drift.model_version != facts.serving_version:
        serving = facts.serving_version
        return Refusal("version", f"version {drift.model_version} drifted, but version {serving} serves now")
    return None


def _not_now(policy: RetrainPolicy, facts: Facts, now: datetime) -> Refusal | None:
    """Rules that look at the runs there were."""
    if facts.open_run is not None:
        return Refusal("open_run", f"run {facts.open_run} of this model is under way")
    if facts.last_ended_at is not None:
        rested_s = (now - facts.last_ended_at).total_seconds()
        if rested_s < policy.cool_down_s:
            return Refusal(
                "cool_down", f"the last run ended {rested_s:.0f} s ago; the cool-down is {policy.cool_down_s:.0f} s"
            )
    if facts.runs_in_window >= policy.max_runs_per_day:
        return Refusal("budget", f"{facts.runs_in_window} runs in 24 hours; the budget is {policy.max_runs_per_day}")
    return None


def worth_telling(refusal: Refusal, last_told: datetime | None, policy: RetrainPolicy, now: datetime) -> bool:
    """Whether a refusal is published: once per cool-down window for each rule, so that drift does not flood the topic.

    last_told: when the same rule last refused a run of the model, as far as it was published.
    """
    return last_told is None or (now - last_told).total_seconds() >= max(policy.cool_down_s, 1.0)
