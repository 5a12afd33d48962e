"""Snapshot of all records of one model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.routes import Route, RouterAck, Serving, Version
from modelyard_deployer.domain.superseding import Comparisons, may_begin, successor
from modelyard_deployer.domain.votes import Vote
from modelyard_deployer.domain.workloads import VersionKey


@dataclass(frozen=True)
class RouteState:
    """A route and its router acknowledgements."""

    route: Route
    acks: tuple[RouterAck, ...] = ()
    settled_sequence: int = 0
    """Newest table that was published more than a minute ago; 0 if there is none."""


@dataclass(frozen=True)
class ModelState:
    """Serving state, active rollout and vote of a model."""

    serving: Serving | None = None
    active: Rollout | None = None
    vote: Vote | None = None
    """None for a model that was never adaptive."""


@dataclass(frozen=True)
class Snapshot:
    model: str
    state: ModelState
    waiting: tuple[Rollout, ...]
    """Pending rollouts in the order in which they start; roll-backs first."""
    routes: tuple[RouteState, ...] = ()
    """Routes that carry the model."""
    others: Mapping[str, ModelState] = field(default_factory=dict)
    """The other models of these routes."""
    versions: Mapping[VersionKey, Version] = field(default_factory=dict)
    """Versions that these routes may need."""
    comparisons: Comparisons = field(default_factory=dict)
    """Of the versions that serve, are rolled out or wait."""
    routers: frozenset[str] = frozenset()
    """Routers that acknowledged any route within the last minute."""

    @property
    def active(self) -> Rollout | None:
        return self.state.active

    @property
    def serving(self) -> Serving | None:
        return self.state.serving

    @property
    def vote(self) -> Vote | None:
        return self.state.vote

    @property
    def pending(self) -> Rollout | None:
        return self.waiting[0] if self.waiting else None

    @property
    def successor(self) -> Rollout | None:
        """The waiting rollout that should take the place of the active one."""
        return successor(self.active, self.waiting, self.comparisons) if self.active else None

    @property
    def next_version(self) -> int | None:
        """The version that starts next; its replicas are prepared while it waits."""
        upcoming = self.successor or next((rollout for rollout in self.waiting if may_begin(rollout)), None)
        return upcoming.to_version if upcoming else None

    @property
    def pinned(self) -> frozenset[int]:
        """Versions of the model that routes pin."""
        return frozenset(key.version for state in self.routes for key in state.route.pinned if key.model == self.model)
