"""The reconciler's heart: from all facts to one new status. Pure, so a crash anywhere is repaired by asking again."""

from dataclasses import dataclass, replace
from datetime import datetime

from modelyard_contracts import RolloutChanged
from modelyard_contracts import RolloutState as State
from modelyard_deployer.domain.analysis import Analysis, Outcome, Stratum, analyse
from modelyard_deployer.domain.model import Kind, Rollout, VersionReplicas
from modelyard_deployer.domain.plan import ALL
from modelyard_deployer.domain.routers import Applied
from modelyard_deployer.domain.states import Signal, next_state


@dataclass(frozen=True)
class Limits:
    """How long the deployer is patient; from the settings."""

    prepare_timeout_s: float = 300.0
    max_failures: int = 3
    """Failed starts or deaths of the new version's replicas before its rollout ends."""
    apply_wait_s: float = 10.0
    """Routers that stay silent longer are reported and no longer waited for."""


@dataclass(frozen=True)
class Facts:
    """Everything known about an active rollout at one moment."""

    now: datetime
    rollout: Rollout
    replicas: VersionReplicas
    """Of the new version."""
    applied: Applied
    """Of the table that is published now."""
    evidence: Stratum | None
    """Both versions since the step began; None when the monitor does not answer."""
    looked: bool = True
    """False: the monitor's answer is still on its way; nothing is judged by it yet."""
    limits: Limits = Limits()


def decide(facts: Facts) -> Rollout:
    """The rollout as it should be now; equal to what it was when there is nothing to do."""
    rollout = facts.rollout
    if rollout.abort_reason is not None:
        return _abort(facts, rollout.abort_reason, against=rollout.abort_against)
    if rollout.state is State.PREPARING:
        return _prepare(facts)
    if rollout.at_last_step:
        return _complete(facts)
    return _step(facts)


def needs_evidence(rollout: Rollout) -> bool:
    """Whether the monitor is to be asked before the next decision."""
    return rollout.state in (State.SHIFTING, State.HOLDING) and not rollout.at_last_step


def _prepare(facts: Facts) -> Rollout:
    rollout, age_s = facts.rollout, (facts.now - facts.rollout.changed_at).total_seconds()
    if facts.replicas.ready:
        return _to_step(facts, Signal.READY, 1, f"{len(facts.replicas.urls)} replica(s) of it answer")
    if facts.replicas.failures >= facts.limits.max_failures:
        return _end(facts, Signal.FAIL, f"it does not start: {facts.replicas.last_failure}")
    if age_s > facts.limits.prepare_timeout_s:
        why = facts.replicas.last_failure or "no replica became ready"
        return _end(facts, Signal.FAIL, f"not ready within {facts.limits.prepare_timeout_s:.0f} s: {why}")
    return replace(rollout, reason=facts.replicas.last_failure or "its replica starts")


def _step(facts: Facts) -> Rollout:
    rollout = facts.rollout
    if facts.replicas.failures >= facts.limits.max_failures:
        return _abort(facts, f"its replica keeps dying: {facts.replicas.last_failure}", against=True)
    if facts.applied.refused:
        return _abort(facts, f"refused by a router: {', '.join(facts.applied.refused)}", against=False)
    if not facts.looked:
        return rollout
    look = _look(facts)
    if look.outcome is Outcome.ABORT:
        return _abort(facts, look.reason, look.evidence, against=True)
    if look.outcome is Outcome.ADVANCE:
        return _to_step(facts, Signal.STEP, rollout.step + 1, look.reason, look.evidence)
    return _hold(facts, look)


def _look(facts: Facts) -> Analysis:
    rollout = facts.rollout
    if not facts.replicas.ready:
        return Analysis(Outcome.HOLD, f"its replica is away: {facts.replicas.last_failure or 'it starts again'}", {})
    return analyse(rollout.policy, rollout.past, facts.evidence, _step_age_s(facts))


def _hold(facts: Facts, look: Analysis) -> Rollout:
    """Wait; within the step's own time that is shifting, afterwards holding, and past its end the policy speaks."""
    rollout, age_s = facts.rollout, _step_age_s(facts)
    promotes = rollout.policy.on_hold_expired == "promote"
    if age_s > rollout.policy.max_hold_s and (facts.replicas.ready or not promotes):
        said = f"held longer than {rollout.policy.max_hold_s:.0f} s at {rollout.weight_percent:g} %: {look.reason}"
        if not promotes:
            return _abort(facts, said, look.evidence, against=False)
        return _to_step(facts, Signal.STEP, len(rollout.plan), f"{said}; the policy promotes", look.evidence)
    noted = replace(rollout, reason=look.reason, evidence=look.evidence or rollout.evidence)
    if rollout.state is State.SHIFTING and age_s >= rollout.policy.min_step_s:
        return replace(noted, state=next_state(rollout.state, Signal.HOLD), changed_at=facts.now)
    return noted


def _complete(facts: Facts) -> Rollout:
    """All traffic is on the new version as published; done when the routers say so or have been silent too long."""
    rollout, applied = facts.rollout, facts.applied
    roll_back = rollout.kind is Kind.ROLL_BACK
    if applied.refused and not roll_back:
        return _abort(facts, f"refused by a router: {', '.join(applied.refused)}", against=False)
    if facts.replicas.failures >= facts.limits.max_failures and not roll_back:
        return _abort(facts, f"its replica keeps dying: {facts.replicas.last_failure}", against=True)
    if not applied.complete and _step_age_s(facts) < facts.limits.apply_wait_s:
        return replace(rollout, reason=f"waiting for {', '.join(applied.silent) or 'a first router'}")
    evidence = dict(rollout.evidence) | {
        "routers_applied": float(len(applied.applied)),
        "routers_silent": float(len(applied.silent)),
    }
    said = f"version {rollout.to_version} answers on {len(applied.applied) or 'no'} router(s)"
    if applied.silent:
        said += f"; silent: {', '.join(applied.silent)}"
    if applied.refused:
        said += f"; refused: {', '.join(applied.refused)}"
    if roll_back:
        evidence["seconds"] = ((applied.last_at or facts.now) - rollout.created_at).total_seconds()
        return _end(facts, Signal.RETURN, said, evidence)
    return _end(facts, Signal.COMPLETE, said, evidence)


def _to_step(facts: Facts, signal: Signal, step: int, reason: str, evidence: dict[str, float] | None = None) -> Rollout:
    rollout = facts.rollout
    past = (*rollout.past, facts.evidence) if facts.evidence and signal is Signal.STEP else rollout.past
    return replace(
        rollout,
        state=next_state(rollout.state, signal),
        step=step,
        step_since=facts.now,
        weight_percent=rollout.plan[step - 1],
        past=past,
        reason=reason,
        evidence=evidence if evidence is not None else rollout.evidence,
        changed_at=facts.now,
    )


def _abort(facts: Facts, reason: str, evidence: dict[str, float] | None = None, *, against: bool) -> Rollout:
    """against: what ends it speaks against the version; otherwise one that served before keeps its approval."""
    known = evidence if evidence is not None else facts.rollout.evidence
    return _end(facts, Signal.ABORT, reason, {**known, RolloutChanged.AGAINST_VERSION: float(against)})


def _end(facts: Facts, signal: Signal, reason: str, evidence: dict[str, float] | None = None) -> Rollout:
    state = next_state(facts.rollout.state, signal)
    return replace(
        facts.rollout,
        state=state,
        weight_percent=ALL if state in (State.PROMOTED, State.ROLLED_BACK) else 0.0,
        reason=reason,
        evidence=evidence if evidence is not None else facts.rollout.evidence,
        changed_at=facts.now,
    )


def _step_age_s(facts: Facts) -> float:
    since = facts.rollout.step_since or facts.rollout.changed_at
    return (facts.now - since).total_seconds()
