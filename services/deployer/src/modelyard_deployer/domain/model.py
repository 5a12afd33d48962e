"""The deployer's nouns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from modelyard_contracts import RolloutState, RolloutStrategy, RouteTarget
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.analysis import Stratum
from modelyard_deployer.domain.plan import steps

ACTIVE_STATES = (RolloutState.PREPARING, RolloutState.SHIFTING, RolloutState.HOLDING)


class Kind(StrEnum):
    START = "start"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True)
class Rollout:
    """One way of one version to its traffic. `revision` counts what was told on the topic, `writes` every save."""

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
    """Known once it has begun, as are strategy, policy and from_version."""
    strategy: RolloutStrategy = RolloutStrategy.FULL
    policy: RolloutPolicy = field(default_factory=RolloutPolicy)
    state: RolloutState = RolloutState.PENDING
    from_version: int | None = None
    step: int = 0
    step_since: datetime | None = None
    weight_percent: float = 0.0
    past: tuple[Stratum, ...] = ()
    reason: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)
    abort_reason: str | None = None
    """Set from outside (a person, an alert); the reconciler obeys."""
    abort_against: bool = False
    """Whether that speaks against the version."""
    revision: int = 0
    writes: int = 0

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def plan(self) -> tuple[float, ...]:
        return steps(self.strategy, self.policy)

    @property
    def at_last_step(self) -> bool:
        return self.step >= len(self.plan)


@dataclass(frozen=True)
class Route:
    """What serves now under a name, and what served before."""

    name: str
    model: str
    salt: str
    sequence: int = 0
    champion: int | None = None
    history: tuple[int, ...] = ()
    """Versions that served before the champion, the newest last."""
    warm_until: datetime | None = None
    """Until then the last of `history` stays ready."""
    policy: RolloutPolicy = field(default_factory=RolloutPolicy)
    """Of the newest rollout that began: what a roll-back goes by, so that it needs no registry."""
    targets: tuple[RouteTarget, ...] = ()
    """As last published."""

    @property
    def previous(self) -> int | None:
        return self.history[-1] if self.history else None


@dataclass(frozen=True)
class Version:
    """A version's bytes, as the registry told them."""

    model: str
    version: int
    digest: str
    stage: str
    manifest: ModelManifest


@dataclass(frozen=True)
class VersionReplicas:
    """How far the processes of one version are."""

    urls: tuple[str, ...] = ()
    """Of those that answer."""
    wanted: int = 1
    failures: int = 0
    """Starts or lives that ended badly, since the last minute of good health."""
    last_failure: str = ""

    @property
    def ready(self) -> bool:
        return len(self.urls) >= self.wanted


@dataclass(frozen=True)
class Replica:
    """One place for a process of a version; processes come and go in it. Pid and start time name one for good."""

    id: UUID
    model: str
    version: int
    pid: int | None = None
    started: float | None = None
    """Seconds since the epoch, as the operating system tells it."""
    url: str | None = None
    """Where it listens; None until it is ready."""
    since: datetime | None = None
    """Of the process, or of its readiness."""
    failures: int = 0
    last_failure: str = ""
    next_start_at: datetime | None = None
    next_probe_at: datetime | None = None
    failed_probes: int = 0
    drain_until: datetime | None = None
    """Set when it is no longer wanted."""
    stopping: bool = False
    """Its process has been asked to end: it is not to be had any more, whoever wants its version."""


@dataclass(frozen=True)
class RouterAck:
    """The newest table that a router said it answers by."""

    router_id: str
    sequence: int
    accepted: bool
    reason: str
    seen_at: datetime
