"""Routes: which version serves under a name, and the routers that confirmed it."""

from dataclasses import dataclass, field
from datetime import datetime

from modelyard_contracts import RouteTarget
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import RolloutPolicy


@dataclass(frozen=True)
class Route:
    """The version that serves under a name, and the versions that served before it."""

    name: str
    model: str
    salt: str
    sequence: int = 0
    champion: int | None = None
    history: tuple[int, ...] = ()
    """Versions that served before the champion, newest last."""
    warm_until: datetime | None = None
    """Until then the last version of `history` stays ready."""
    policy: RolloutPolicy = field(default_factory=RolloutPolicy)
    """Policy of the newest started rollout; a roll-back uses it, so it does not need the registry."""
    targets: tuple[RouteTarget, ...] = ()
    """As last published."""

    @property
    def previous(self) -> int | None:
        return self.history[-1] if self.history else None


@dataclass(frozen=True)
class Version:
    """A version as the registry described it."""

    model: str
    version: int
    digest: str
    stage: str
    manifest: ModelManifest


@dataclass(frozen=True)
class RouterAck:
    """The newest route table that a router confirmed or refused."""

    router_id: str
    sequence: int
    accepted: bool
    reason: str
    seen_at: datetime
