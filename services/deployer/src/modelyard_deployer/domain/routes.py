"""Serving state of models, their routes and versions, and router acknowledgements."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from modelyard_contracts import documents
from modelyard_contracts.manifest import ManifestFile
from modelyard_contracts.policies import RolloutPolicy
from modelyard_contracts.routes import ModelLeaf, RouteSpec, VersionLeaf, walk
from modelyard_deployer.domain.workloads import VersionKey


@dataclass(frozen=True)
class Serving:
    """Serving state of a model: the champion and the versions that served before it."""

    model: str
    route: str
    """Name of the model's own route."""
    champion: int | None = None
    history: tuple[int, ...] = ()
    """Versions that served before the champion, newest last."""
    warm_until: datetime | None = None
    """Until then the last version of `history` stays ready."""
    policy: RolloutPolicy = field(default_factory=RolloutPolicy)
    """Policy of the newest started rollout; a roll-back uses it, so it does not need the registry."""
    policy_changed: bool = False
    """The registry has a newer policy, which is read in the background."""
    writes: int = 0
    """Number of saves, for optimistic locking."""

    @property
    def previous(self) -> int | None:
        return self.history[-1] if self.history else None


@dataclass(frozen=True)
class Route:
    """A public name, and the specification of the versions that serve it."""

    name: str
    model: str
    """The model that the route belongs to; access to the route follows the workspace of this model."""
    salt: str
    spec: str
    """JSON of a RouteSpec."""
    own: bool = False
    """True for the model's own route, created with its first rollout."""
    deleted: bool = False
    sequence: int = 0
    plan: str = ""
    """JSON of the RoutePlan as last published; empty when no version may serve."""
    problem: str = ""
    """Why the specification cannot be published yet."""
    writes: int = 0
    """Number of saves, for optimistic locking."""

    @property
    def specification(self) -> RouteSpec:
        return _spec(self.spec)

    @property
    def pinned(self) -> frozenset[VersionKey]:
        """Versions that the specification pins."""
        leaves = [node for _, node in walk(self.specification.root) if isinstance(node, VersionLeaf)]
        return frozenset(VersionKey(leaf.model, leaf.version) for leaf in leaves)

    @property
    def managed(self) -> frozenset[str]:
        """Models whose rollouts move traffic on this route."""
        return frozenset(node.model for _, node in walk(self.specification.root) if isinstance(node, ModelLeaf))

    @property
    def models(self) -> frozenset[str]:
        """All models of the route."""
        return frozenset({self.model}) | self.managed | {key.model for key in self.pinned}


@lru_cache(maxsize=1_024)
def _spec(text: str) -> RouteSpec:
    return documents.read(RouteSpec, text)


def own_spec(model: str, timeout_ms: int) -> str:
    """Specification of a model's own route: its live versions, as its rollouts split them."""
    spec = RouteSpec(root=ModelLeaf(kind="model", model=model), timeout_ms=timeout_ms)
    return documents.write(spec).decode()


@dataclass(frozen=True)
class Version:
    """A version as the registry described it; the digest of `file`, its manifest, identifies it."""

    model: str
    version: int
    stage: str
    file: ManifestFile

    @property
    def key(self) -> VersionKey:
        return VersionKey(self.model, self.version)

    @property
    def digest(self) -> str:
        return self.file.digest


@dataclass(frozen=True)
class RouterAck:
    """The newest route table that a router accepted or rejected."""

    router_id: str
    sequence: int
    accepted: bool
    reason: str
    seen_at: datetime
