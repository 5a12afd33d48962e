"""What people may do with a step of an open rollout: go to the next step now, hold it, resume it. Pure."""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from modelyard_contracts import RolloutState as State
from modelyard_deployer.domain.decide import needs_evidence
from modelyard_deployer.domain.errors import NoOpenStep, NotApproved, StepPassed
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.states import Signal, next_state


class StepAction(StrEnum):
    """Actions of people on a step."""

    ADVANCE = "advance"
    HOLD = "hold"
    RESUME = "resume"


def acted(rollout: Rollout, action: StepAction, step: int, by: str, reason: str, at: datetime) -> Rollout:
    """Return the rollout with the action recorded; unchanged when it was recorded before.

    step: the step that the person saw, so that a repeated request never skips a step. Harm still aborts a held step,
    and an advance waits for a ready replica and for the routers.
    Raises NoOpenStep unless the rollout shifts traffic, NotApproved while its version holds a live share, StepPassed
    when it is at another step.
    """
    if not needs_evidence(rollout) or rollout.abort_reason is not None:
        raise NoOpenStep(f"rollout {rollout.id} is {rollout.state} at step {rollout.step} of {len(rollout.plan)}")
    if rollout.live_share:
        raise NotApproved(f"version {rollout.to_version} of {rollout.model} is not approved; approve or reject it")
    if rollout.step != step:
        raise StepPassed(f"step: rollout {rollout.id} is at step {rollout.step}, not {step}; read it again")
    why = f"{_PAST[action]} by {by}: {reason}"
    if action is StepAction.ADVANCE:
        return rollout if rollout.advance_reason else replace(rollout, advance_reason=why)
    if action is StepAction.RESUME:
        resumed = replace(rollout, held_reason="", resumed_at=at, reason=why, changed_at=at)
        return resumed if rollout.held_reason else rollout
    return rollout if rollout.held_reason else _held(rollout, why, at)


def _held(rollout: Rollout, why: str, at: datetime) -> Rollout:
    state = next_state(rollout.state, Signal.HOLD) if rollout.state is State.SHIFTING else rollout.state
    return replace(rollout, state=state, held_reason=why, reason=why, changed_at=at)


_PAST = {StepAction.ADVANCE: "advanced", StepAction.HOLD: "held", StepAction.RESUME: "resumed"}
