"""The live share of a version that is not approved while its comparison is undecided (decision 0097). Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from modelyard_contracts import RolloutStrategy
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_deployer.domain.errors import VersionUnusable
from modelyard_deployer.domain.rollouts import Rollout

LAST_LOOK_S: Final = 600.0
"""Time for the last look at a comparison and its events; the share ends then without them."""
HELD: Final = "held by the evaluator: the comparison of this version is undecided"


def check_share(gate: GatePolicy, champion: int | None) -> None:
    """Raise VersionUnusable unless the gate policy of the model gives live shares and a version serves.

    The request is an event, which any of its writers may send: the policy alone permits traffic without an approval.
    """
    if gate.inconclusive != "live_share":
        raise VersionUnusable("the gate policy gives no live share; set inconclusive to `live_share`")
    if champion is None:
        raise VersionUnusable("no version serves yet, so none can have a live share beside it")


def begun(rollout: Rollout, gate: GatePolicy, now: datetime) -> Rollout:
    """Return the rollout as a canary whose first step is the live share; its end is bounded without a verdict, too."""
    steps = (gate.live_share_percent, *rollout.policy.steps_percent)
    policy: RolloutPolicy = rollout.policy.model_copy(update={"steps_percent": steps})
    until = now + timedelta(seconds=gate.max_open_s + LAST_LOOK_S)
    return replace(rollout, policy=policy, strategy=RolloutStrategy.CANARY, live_share_until=until)


def expired(rollout: Rollout, now: datetime) -> bool:
    """Whether a live share has lasted as long as its comparison can be open."""
    return rollout.live_share and rollout.live_share_until is not None and now > rollout.live_share_until


def lifted(rollout: Rollout, strategy: RolloutStrategy | None, why: str, at: datetime) -> Rollout:
    """Return the rollout of a version that was approved: its canary goes on. strategy: of the request, if it waits."""
    asked = rollout.asked_strategy if rollout.active else strategy
    return replace(
        rollout, evaluation_id=None, asked_strategy=asked, held_reason="", resumed_at=at, reason=why, changed_at=at
    )


def belongs_to(rollout: Rollout, evaluation_id: UUID) -> bool:
    """Whether a rollout is the live share of an evaluation."""
    return rollout.live_share and rollout.evaluation_id == evaluation_id
