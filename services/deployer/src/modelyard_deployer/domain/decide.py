"""Compute the next state of a rollout from all facts. Pure: after a crash it is computed again."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from modelyard_contracts import RolloutChanged, derived_id
from modelyard_contracts import RolloutState as State
from modelyard_deployer.domain.acknowledgements import Applied
from modelyard_deployer.domain.analysis import STEP, Analysis, Outcome, analyse
from modelyard_deployer.domain.counts import Stratum
from modelyard_deployer.domain.live_share import HELD, expired
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.states import Signal, next_state
from modelyard_deployer.domain.steps import ALL
from modelyard_deployer.domain.superseding import DEPLOYER
from modelyard_deployer.domain.workloads import Workload
from modelyard_runtime.policy_time import ClockTime, PolicyTime

CLOCK: Final = ClockTime()


@dataclass(frozen=True)
class Limits:
    """Time limits, from the settings."""

    prepare_timeout_s: float = 300.0
    max_failures: int = 3
    """Failed starts or exits of the new version's replicas after which its rollout ends."""
    apply_wait_s: float = 10.0
    """A router that has not acknowledged within this time is skipped if another router has accepted."""


@dataclass(frozen=True)
class Facts:
    """All facts about an active rollout at one moment."""

    now: datetime
    rollout: Rollout
    workload: Workload
    """Replicas of the new version."""
    applied: Applied
    """Router acknowledgements of the newest tables of the routes that carry the model."""
    evidence: Stratum | None
    """Both versions since the step began; None when the monitor is unavailable."""
    answered: bool = True
    """False while the monitor's response is pending; the analysis then waits."""
    limits: Limits = Limits()
    joining_percent: float = ALL
    """Share with which the version of an adaptive rollout votes at first, or votes already."""
    policy_time: PolicyTime = CLOCK
    """What steps and holds count in."""
    successor: int | None = None
    """A better version that has ready replicas and waits for this rollout's place."""


def decide(facts: Facts) -> Rollout:
    """Return the next state of the rollout; unchanged when there is nothing to do."""
    rollout = facts.rollout
    if rollout.abort_reason is not None:
        return _abort(facts, rollout.abort_reason, against=rollout.abort_against)
    if facts.successor is not None:
        return _superseded(facts, facts.successor)
    if rollout.state is State.PREPARING:
        return _prepare(facts)
    if rollout.at_last_step:
        return _complete(facts)
    return _step(facts)


def needs_evidence(rollout: Rollout) -> bool:
    """Whether the next decision needs the monitor's counts."""
    return rollout.state in (State.SHIFTING, State.HOLDING) and not rollout.at_last_step


def _superseded(facts: Facts, successor: int) -> Rollout:
    reason = f"version {successor} takes its place: it is better on the same rows"
    ended = _abort(facts, reason, against=False)
    return replace(ended, evidence={**ended.evidence, RolloutChanged.SUPERSEDED_BY: float(successor)})


def again(superseded: Rollout, at: datetime) -> Rollout:
    """The pending rollout that gives a superseded version another turn, in case its successor is not promoted."""
    return Rollout(
        id=derived_id("rollout-again", superseded.id),
        model=superseded.model,
        kind=Kind.START,
        to_version=superseded.to_version,
        correlation_id=superseded.correlation_id,
        requested_by=DEPLOYER,
        created_at=at,
        changed_at=at,
        cause_id=superseded.cause_id,
        asked_strategy=superseded.asked_strategy,
        asked_reason=superseded.asked_reason,
        route=superseded.route,
        reason=f"waits in case version {superseded.superseded_by} is not promoted",
    )


def _prepare(facts: Facts) -> Rollout:
    rollout, age_s = facts.rollout, (facts.now - facts.rollout.changed_at).total_seconds()
    if facts.workload.ready:
        return _to_step(facts, Signal.READY, 1, f"{len(facts.workload.urls)} replica(s) ready")
    if facts.workload.failures >= facts.limits.max_failures:
        return _end(facts, Signal.FAIL, f"version {rollout.to_version} failed to start: {facts.workload.last_words}")
    if age_s > facts.limits.prepare_timeout_s:
        why = facts.workload.last_words or "no replica became ready"
        return _end(facts, Signal.FAIL, f"not ready within {facts.limits.prepare_timeout_s:.0f} s: {why}")
    return replace(rollout, reason=facts.workload.last_words or "waiting for a replica to start")


def _step(facts: Facts) -> Rollout:
    rollout = facts.rollout
    if facts.workload.failures >= facts.limits.max_failures:
        return _abort(facts, f"replica keeps exiting: {facts.workload.last_words}", against=True)
    if facts.applied.refused:
        return _refused(facts)
    if rollout.applied_at is None:
        if not _confirmed(facts):
            return _wait_for_routers(facts)
        rollout = replace(rollout, applied_at=facts.now)
        facts = replace(facts, rollout=rollout)
    if not facts.answered:
        return rollout
    analysis = _analysis(facts)
    if analysis.outcome is Outcome.ABORT:
        return _abort(facts, analysis.reason, analysis.evidence, against=True)
    if rollout.advance_reason and facts.workload.ready:
        return _to_step(facts, Signal.STEP, rollout.step + 1, rollout.advance_reason, analysis.evidence)
    if analysis.outcome is Outcome.ADVANCE and not rollout.held_reason:
        return _to_step(facts, Signal.STEP, rollout.step + 1, analysis.reason, analysis.evidence)
    return _hold(facts, analysis)


def _analysis(facts: Facts) -> Analysis:
    rollout = facts.rollout
    if not facts.workload.ready:
        return Analysis(Outcome.HOLD, f"no replica is ready: {facts.workload.last_words or 'restarting'}", {})
    found = analyse(rollout.policy, rollout.past, facts.evidence, _applied_age_s(facts))
    return replace(found, evidence={**found.evidence, STEP: float(rollout.step)}) if found.evidence else found


def _hold(facts: Facts, analysis: Analysis) -> Rollout:
    """Keep the step: `shifting` for its minimum time, then `holding`; after `max_hold_s` apply `on_hold_expired`.

    A step that a person holds does not expire.
    """
    rollout, age_s = facts.rollout, hold_age_s(facts.rollout, facts.now, facts.policy_time)
    if expired(rollout, facts.now):
        return _abort(facts, "its comparison ended without a verdict", analysis.evidence, against=False)
    if rollout.held_reason:
        return _held(facts, replace(rollout, reason=rollout.held_reason), analysis)
    promotes = rollout.policy.on_hold_expired == "promote"
    if age_s > rollout.policy.max_hold_s and (facts.workload.ready or not promotes):
        why = f"held longer than {rollout.policy.max_hold_s:.0f} s at {rollout.weight_percent:g} %: {analysis.reason}"
        if not promotes:
            return _abort(facts, why, analysis.evidence, against=False)
        return _to_step(facts, Signal.STEP, len(rollout.plan), f"{why}; promoted by policy", analysis.evidence)
    return _held(facts, replace(rollout, reason=analysis.reason), analysis)


def _held(facts: Facts, rollout: Rollout, analysis: Analysis) -> Rollout:
    """Return the rollout with its newest evidence; `holding` once the minimum time of its step has passed."""
    held = replace(rollout, evidence=analysis.evidence or rollout.evidence)
    if rollout.state is State.SHIFTING and _applied_age_s(facts) >= rollout.policy.min_step_s:
        return replace(held, state=next_state(rollout.state, Signal.HOLD), changed_at=facts.now)
    return held


def _complete(facts: Facts) -> Rollout:
    """The last step is published; finish once the live routers have applied it."""
    if facts.rollout.kind is Kind.ROLL_BACK:
        return _complete_roll_back(facts)
    if facts.workload.failures >= facts.limits.max_failures:
        return _abort(facts, f"replica keeps exiting: {facts.workload.last_words}", against=True)
    if facts.applied.refused:
        return _refused(facts)
    if not _confirmed(facts):
        return _wait_for_routers(facts)
    return _end(facts, Signal.COMPLETE, _completion_reason(facts), _router_counts(facts))


def _complete_roll_back(facts: Facts) -> Rollout:
    """Finish a roll-back even if no router acknowledges it: routers apply the published table when they return."""
    rollout, applied = facts.rollout, facts.applied
    limit_s = facts.limits.apply_wait_s if applied.applied or applied.silent else rollout.policy.max_hold_s
    if not (applied.complete or applied.refused) and _step_age_s(facts) < limit_s:
        return replace(rollout, reason=_waiting_for(applied))
    seconds = ((applied.last_at or facts.now) - rollout.created_at).total_seconds()
    return _end(facts, Signal.RETURN, _completion_reason(facts), {**_router_counts(facts), "seconds": seconds})


def _confirmed(facts: Facts) -> bool:
    """Whether the live routers have applied the routes; after `apply_wait_s` one router is enough."""
    applied = facts.applied
    return applied.complete or (bool(applied.applied) and _step_age_s(facts) >= facts.limits.apply_wait_s)


def _wait_for_routers(facts: Facts) -> Rollout:
    rollout, limit_s = facts.rollout, facts.rollout.policy.max_hold_s
    if _step_age_s(facts) > limit_s:
        return _abort(facts, f"no router applied the route within {limit_s:.0f} s", against=False)
    return replace(rollout, reason=_waiting_for(facts.applied))


def _waiting_for(applied: Applied) -> str:
    return f"waiting for {', '.join(applied.silent) or 'a router'} to apply the route"


def _refused(facts: Facts) -> Rollout:
    return _abort(facts, f"refused by a router: {', '.join(facts.applied.refused)}", against=False)


def _completion_reason(facts: Facts) -> str:
    applied = facts.applied
    if facts.rollout.replaces is not None:
        return f"version {facts.rollout.to_version} takes the place of version {facts.rollout.replaces} in the vote"
    does = "votes" if facts.rollout.adaptive and facts.rollout.kind is Kind.START else "serves"
    if applied.applied:
        reason = f"version {facts.rollout.to_version} {does} on {len(applied.applied)} router(s)"
    else:
        reason = f"version {facts.rollout.to_version} is published; no router has applied it yet"
    if applied.silent:
        reason += f"; not acknowledged by: {', '.join(applied.silent)}"
    return reason + (f"; refused: {', '.join(applied.refused)}" if applied.refused else "")


def _router_counts(facts: Facts) -> dict[str, float]:
    counts = {
        "routers_applied": float(len(facts.applied.applied)),
        "routers_silent": float(len(facts.applied.silent)),
    }
    replaced = facts.rollout.replaces
    place = {} if replaced is None else {RolloutChanged.REPLACES: float(replaced)}
    stays = {RolloutChanged.KEEPS_CHAMPION: 1.0} if facts.rollout.keeps_champion else {}
    return {**facts.rollout.evidence, **counts, **place, **stays}


def _to_step(facts: Facts, signal: Signal, step: int, reason: str, evidence: dict[str, float] | None = None) -> Rollout:
    rollout = facts.rollout
    past = (*rollout.past, facts.evidence) if facts.evidence and signal is Signal.STEP else rollout.past
    return replace(
        rollout,
        state=next_state(rollout.state, signal),
        step=step,
        step_since=facts.now,
        applied_at=None,
        held_reason=HELD if rollout.live_share else "",
        resumed_at=None,
        advance_reason="",
        weight_percent=facts.joining_percent if rollout.adaptive else rollout.plan[step - 1],
        past=past,
        reason=reason,
        evidence=evidence if evidence is not None else rollout.evidence,
        changed_at=facts.now,
    )


def _abort(facts: Facts, reason: str, evidence: dict[str, float] | None = None, *, against: bool) -> Rollout:
    """against: the cause is evidence against the version; otherwise a version that served before keeps its approval."""
    known = evidence if evidence is not None else facts.rollout.evidence
    return _end(facts, Signal.ABORT, reason, {**known, RolloutChanged.AGAINST_VERSION: float(against)})


def _end(facts: Facts, signal: Signal, reason: str, evidence: dict[str, float] | None = None) -> Rollout:
    state = next_state(facts.rollout.state, signal)
    found = evidence if evidence is not None else facts.rollout.evidence
    share = {RolloutChanged.LIVE_SHARE: 1.0} if facts.rollout.live_share else {}
    served = facts.rollout.weight_percent if facts.rollout.adaptive else ALL
    return replace(
        facts.rollout,
        state=state,
        weight_percent=served if state in (State.PROMOTED, State.ROLLED_BACK) else 0.0,
        reason=reason,
        evidence={**found, **share},
        changed_at=facts.now,
    )


def hold_age_s(rollout: Rollout, now: datetime, policy_time: PolicyTime = CLOCK) -> float:
    """Seconds that count towards `max_hold_s`: since the step began, or since a person resumed it."""
    since = rollout.resumed_at or rollout.step_since or rollout.changed_at
    return (policy_time(now) - policy_time(since)).total_seconds()


def _step_age_s(facts: Facts) -> float:
    """Seconds of the clock since the step began: routers are waited for this long."""
    since = facts.rollout.step_since or facts.rollout.changed_at
    return (facts.now - since).total_seconds()


def _applied_age_s(facts: Facts) -> float:
    """Seconds of policy time since the routers applied this step."""
    since = facts.rollout.applied_at or facts.now
    return (facts.policy_time(facts.now) - facts.policy_time(since)).total_seconds()
