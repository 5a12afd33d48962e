"""Rollouts, the routes they publish, and the routers that applied them."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import model_validator

from modelyard_contracts.messages.base import ControlMessage, Field, Message, Name, fill_workspace
from modelyard_contracts.numbers import Count, Finite, Index, Percent, TimeoutMs, VersionNumber
from modelyard_contracts.references import DEFAULT_WORKSPACE


class RolloutAction(StrEnum):
    """Actions of a rollout request."""

    START = "start"
    ROLL_BACK = "roll_back"
    ABORT = "abort"


class RolloutStrategy(StrEnum):
    """How traffic moves to the new version."""

    FULL = "full"
    CANARY = "canary"


class RolloutRequested(ControlMessage):
    """A request to move traffic."""

    TOPIC: ClassVar[str] = "deployment.rollout.requested.v1"

    action: RolloutAction
    version: VersionNumber | None = None
    """The version to start; for a roll-back None takes the one that served before."""
    strategy: RolloutStrategy | None = None
    """None takes the model's rollout policy."""
    requested_by: str
    reason: str = ""
    evaluation_id: UUID | None = None
    """The evaluation that is still open: the version, which is not approved, gets the live share of the gate policy
    until it ends. None: a request for an approved version."""


class RolloutState(StrEnum):
    """State of a rollout; the last four are final."""

    PENDING = "pending"
    PREPARING = "preparing"
    SHIFTING = "shifting"
    HOLDING = "holding"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self in FINAL_ROLLOUT_STATES


FINAL_ROLLOUT_STATES = frozenset(
    {RolloutState.PROMOTED, RolloutState.ABORTED, RolloutState.ROLLED_BACK, RolloutState.FAILED}
)


class RolloutChanged(ControlMessage):
    """A rollout moved; `revision` is gapless per rollout."""

    TOPIC: ClassVar[str] = "deployment.rollout.changed.v1"

    rollout_id: UUID
    revision: Count
    route: Name
    strategy: RolloutStrategy
    state: RolloutState
    from_version: VersionNumber | None = None
    to_version: VersionNumber
    step: Index = 0
    """Which step of the plan, from 1; 0 before the first."""
    weight_percent: Percent = 0.0
    """Share of traffic that the new version has now."""
    reason: str = ""
    evidence: dict[str, Finite] = Field(default_factory=dict)
    adaptive: bool = False
    """The version joins the vote of an adaptive model, or leaves it by a roll-back; `strategy` is `full` then."""

    AGAINST_VERSION: ClassVar[str] = "against_version"
    """Key in the evidence of an aborted rollout: 1 when the cause speaks against the version, 0 when it does not (a
    person aborted it, a router refused the table, a hold expired)."""

    SUPERSEDED_BY: ClassVar[str] = "superseded_by"
    """Key in the evidence of an aborted rollout whose place another version took: that version."""

    REPLACES: ClassVar[str] = "replaces"
    """Key in the evidence of an adaptive rollout whose version takes the place of an older snapshot of the same online
    learner: that snapshot. The champion does not change unless it was the champion."""

    KEEPS_CHAMPION: ClassVar[str] = "keeps_champion"
    """Key in the evidence of an adaptive rollout: 1 when the version joined the vote and the champion stays, as for
    snapshots of an online learner."""

    LIVE_SHARE: ClassVar[str] = "live_share"
    """Key in the evidence of a rollout that ended: 1 when its version was not approved and held a live share."""

    @property
    def live_share(self) -> bool:
        """Whether the rollout ended as a live share, before its version was approved."""
        return self.evidence.get(self.LIVE_SHARE) == 1.0

    @property
    def keeps_champion(self) -> bool:
        """Whether the version joined a vote as a member that does not lead."""
        return self.evidence.get(self.KEEPS_CHAMPION) == 1.0

    @property
    def replaces(self) -> int | None:
        """The snapshot whose place the version takes; None for a new member of the vote."""
        found = self.evidence.get(self.REPLACES)
        return None if found is None else int(found)

    @property
    def superseded_by(self) -> int | None:
        """The version that took the place of this rollout's; None when it ended for another reason."""
        found = self.evidence.get(self.SUPERSEDED_BY)
        return None if found is None else int(found)

    @property
    def speaks_against_version(self) -> bool:
        """Whether an aborted rollout is evidence against its version; True when the writer did not state it."""
        return self.evidence.get(self.AGAINST_VERSION, 1.0) != 0.0


class RoutePublished(Message):
    """The complete state of one route; a higher `sequence` replaces a lower one, never the other way round."""

    TOPIC: ClassVar[str] = "deployment.route.published.v1"

    correlation_id: UUID
    cause_id: UUID | None = None
    route: Name
    model: Name
    """The model that the route belongs to; the leaves of the plan may name others."""
    workspace: Name = DEFAULT_WORKSPACE
    sequence: Count
    salt: Name
    """Fixed for the life of a route, so that a unit keeps its bucket while weights move."""
    plan: str = ""
    """Canonical JSON of a modelyard_contracts.routes.RoutePlan; empty when the route was deleted."""
    signatures: dict[str, str] = Field(default_factory=dict)
    """Feature schema id to the JSON of its modelyard_contracts.signature.Signature, for every leaf of the plan."""
    timeout_ms: TimeoutMs = 2_000
    rollout_id: UUID | None = None
    reason: str = ""

    _fill_workspace = model_validator(mode="before")(fill_workspace)

    @property
    def key(self) -> str:
        return self.route


class RouteApplied(Message):
    """A router instance applied a published route, or refused it with a reason."""

    TOPIC: ClassVar[str] = "deployment.route.applied.v1"

    correlation_id: UUID
    cause_id: UUID | None = None
    route: Name
    model: Name
    workspace: Name = DEFAULT_WORKSPACE
    sequence: Count
    router_id: Name
    accepted: bool = True
    reason: str = ""

    _fill_workspace = model_validator(mode="before")(fill_workspace)

    @property
    def key(self) -> str:
        return self.route
