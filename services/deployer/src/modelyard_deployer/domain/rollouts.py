"""Rollouts: shift traffic to a version, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from modelyard_contracts import RolloutAction, RolloutChanged, RolloutState, RolloutStrategy
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.counts import Stratum
from modelyard_deployer.domain.steps import steps

ACTIVE_STATES: Final = (RolloutState.PREPARING, RolloutState.SHIFTING, RolloutState.HOLDING)


class Kind(StrEnum):
    START = "start"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True)
class RolloutRequest:
    """A request over HTTP or a topic. `id` becomes the rollout's id, so a repeated request is idempotent."""

    id: UUID
    model: str
    action: RolloutAction
    correlation_id: UUID
    requested_by: str
    version: int | None = None
    strategy: RolloutStrategy | None = None
    reason: str = ""
    cause_id: UUID | None = None
    evaluation_id: UUID | None = None
    """The open evaluation that a live share is requested for; None for an approved version."""


@dataclass(frozen=True)
class Rollout:
    """One rollout. `revision` counts its published events, `writes` its saves."""

    id: UUID
    model: str
    kind: Kind
    to_version: int
    correlation_id: UUID
    requested_by: str
    created_at: datetime
    changed_at: datetime
    cause_id: UUID | None = None
    asked_strategy: RolloutStrategy | None = None
    asked_reason: str = ""
    route: str = ""
    """Set when the rollout leaves `pending`, as are strategy, policy and from_version."""
    strategy: RolloutStrategy = RolloutStrategy.FULL
    adaptive: bool = False
    """The version joins the vote of an adaptive model, or a roll-back takes newer ones out of it."""
    policy: RolloutPolicy = field(default_factory=RolloutPolicy)
    keeps_champion: bool = False
    """Of an adaptive rollout: the version joins without leading, as snapshots of an online learner do."""
    replaces: int | None = None
    """Of an adaptive rollout: the older snapshot of the same online learner whose place the version takes."""
    state: RolloutState = RolloutState.PENDING
    from_version: int | None = None
    step: int = 0
    step_since: datetime | None = None
    applied_at: datetime | None = None
    """When the live routers had applied this step; its minimum time counts from here."""
    weight_percent: float = 0.0
    past: tuple[Stratum, ...] = ()
    """Counts of the finished steps."""
    reason: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)
    abort_reason: str | None = None
    """Set by an abort request (a person, an alert); the reconciler acts on it."""
    abort_against: bool = False
    """Whether the abort request is evidence against the version."""
    held_reason: str = ""
    """Who holds this step, and why; empty when no person does."""
    resumed_at: datetime | None = None
    """When a person resumed this step."""
    advance_reason: str = ""
    """Who asked for the next step now, and why; the reconciler acts on it."""
    evaluation_id: UUID | None = None
    """The open evaluation while its version, which is not approved, holds a live share; None otherwise."""
    live_share_until: datetime | None = None
    """When the live share ends without a verdict."""
    revision: int = 0
    writes: int = 0

    @property
    def live_share(self) -> bool:
        """Whether the rollout stays at its first step, as its version is not approved."""
        return self.evaluation_id is not None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def superseded_by(self) -> int | None:
        """The version that took the place of this rollout's, or that served when its turn came and was better."""
        found = self.evidence.get(RolloutChanged.SUPERSEDED_BY)
        return None if found is None else int(found)

    @property
    def plan(self) -> tuple[float, ...]:
        return steps(self.strategy, self.policy)

    @property
    def at_last_step(self) -> bool:
        return self.step >= len(self.plan)
