"""What happens next with a rollout, computed from the rules that decide it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from modelyard_contracts import RolloutState as State
from modelyard_deployer.domain.analysis import STEP, STEP_ANSWERS, remaining
from modelyard_deployer.domain.decide import CLOCK, hold_age_s
from modelyard_deployer.domain.guardrails import Verdict, readings
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_runtime.policy_time import PolicyTime

Next = Literal["begin", "replicas", "routers", "advance", "promote", "finish", "abort", "nothing"]


@dataclass(frozen=True)
class NextStep:
    """What the rollout does next, and what it waits for."""

    kind: Next
    """`begin`: its turn. `replicas`, `routers`: waits for them. `advance`: the next step; `promote`: all traffic.
    `finish`: all traffic is published. `abort`: requested. `nothing`: it has ended."""
    step: int
    steps: int
    from_percent: float
    to_percent: float | None = None
    predictions_needed: int = 0
    """Of the new version at this step, by the policy."""
    predictions_seen: int = 0
    predictions_left: int = 0
    seconds_left: float = 0.0
    """Until the step's minimum time has passed."""
    hold_expires_in_s: float | None = None
    """Until the policy's limit ends the wait; None where it does not, such as while a person holds the step."""
    on_hold_expired: str | None = None
    """`abort` or `promote`, by the policy."""
    held: bool = False
    """A person holds the step."""
    blocked_by: tuple[str, ...] = ()
    """Guardrails that are worse, but possibly by chance."""


def next_step(rollout: Rollout, now: datetime, policy_time: PolicyTime = CLOCK) -> NextStep:
    """Return what happens next, from the newest recorded evidence. Times left are those of policy_time."""
    kind = _kind(rollout)
    plan = rollout.plan
    found = NextStep(kind, rollout.step, len(plan), rollout.weight_percent)
    if kind not in ("routers", "advance", "promote"):
        return found
    current = rollout.evidence.get(STEP) == rollout.step
    seen = int(rollout.evidence.get(STEP_ANSWERS, 0)) if current else 0
    age_s = (policy_time(now) - policy_time(rollout.applied_at)).total_seconds() if rollout.applied_at else 0.0
    left = remaining(rollout.policy, seen, age_s)
    held_s = hold_age_s(rollout, now, policy_time)
    expires_in_s = None if rollout.held_reason else max(rollout.policy.max_hold_s - held_s, 0.0)
    worse = tuple(one.name for one in readings(rollout.evidence) if one.verdict is Verdict.WORSE)
    return NextStep(
        kind,
        rollout.step,
        len(plan),
        rollout.weight_percent,
        plan[rollout.step],
        rollout.policy.min_samples,
        seen,
        left.predictions,
        left.seconds,
        expires_in_s,
        rollout.policy.on_hold_expired,
        bool(rollout.held_reason),
        worse if current else (),
    )


def _kind(rollout: Rollout) -> Next:
    if rollout.state.final:
        return "nothing"
    if rollout.abort_reason is not None:
        return "abort"
    if rollout.state is State.PENDING:
        return "begin"
    if rollout.state is State.PREPARING:
        return "replicas"
    if rollout.at_last_step or rollout.kind is Kind.ROLL_BACK:
        return "finish"
    if rollout.applied_at is None:
        return "routers"
    return "promote" if rollout.step == len(rollout.plan) - 1 else "advance"
