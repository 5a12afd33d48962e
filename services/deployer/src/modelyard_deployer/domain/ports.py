"""Interfaces of everything outside the deployer: its records, the registry, the monitor, the processes."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from modelyard_contracts import EvaluationFinished, Message, RouteApplied, RoutePublished
from modelyard_contracts.manifest import ManifestFile, Price
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_deployer.domain.counts import Stratum
from modelyard_deployer.domain.harm import Calls
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.routes import Route, RouterAck, Serving, Version
from modelyard_deployer.domain.superseding import Comparison, Pair
from modelyard_deployer.domain.votes import LabelPage, Vote
from modelyard_deployer.domain.workloads import Instance, Resources, VersionKey, Workload
from modelyard_runtime.clock import Clock
from modelyard_runtime.policy_time import ClockTime, PolicyTime


class Rollouts(Protocol):
    """Rollouts of all models."""

    def get(self, rollout_id: UUID) -> Rollout | None: ...

    def open(self, model: str) -> list[Rollout]:
        """Rollouts that have not ended, oldest first."""

    def recent(
        self,
        model: str | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        unfinished: bool = False,
        versions: Collection[tuple[str, int]] = (),
    ) -> list[Rollout]:
        """Newest first, without the first `offset`; unfinished: only those that have not ended.

        versions: only those that bring one of these (model, version) to traffic; all without one.
        """

    def newest_started(self, model: str) -> int:
        """Highest version for which a rollout of this model started or is pending; 0 if there is none.

        A live share does not count: its version gets a rollout once it is approved.
        """

    def add(self, new: Rollout) -> None: ...

    def save(self, before: Rollout, after: Rollout) -> Rollout:
        """Save a changed rollout and queue its event if its published fields changed.

        Returns it with its new revision. Raises StaleRollout when another writer changed it since `before` was read.
        """

    def request_abort(self, rollout_id: UUID, reason: str, *, against: bool = False) -> None:
        """Record an abort request; the first reason is kept. against: the reason is evidence against the version."""


class Routes(Protocol):
    """Routes and their published tables."""

    def get(self, name: str) -> Route | None:
        """Return the route, even if it is deleted."""

    def of_model(self, model: str) -> list[Route]:
        """Routes that carry the model."""

    def all(self) -> list[Route]: ...

    def save(self, before: Route | None, after: Route) -> None:
        """Save a route. Raises StaleRollout when another writer changed it since `before` was read."""

    def publish(self, event: RoutePublished) -> None:
        """Store the next table of a route and queue its event."""

    def published(self, name: str) -> RoutePublished | None:
        """Newest table of a route."""

    def newest_before(self, model: str, at: datetime) -> Mapping[str, int]:
        """Sequence of the newest table published before `at`, for each route of the model that has one."""


class Acknowledgements(Protocol):
    """Router acknowledgements of route tables."""

    def of_route(self, name: str) -> tuple[RouterAck, ...]: ...

    def of_model(self, model: str) -> Mapping[str, tuple[RouterAck, ...]]:
        """Acknowledgements of the routes that carry the model, by route."""

    def add(self, event: RouteApplied, at: datetime) -> None:
        """Record a router's newest acknowledgement of a route; an older sequence is ignored."""

    def seen_since(self, at: datetime) -> frozenset[str]:
        """Routers that acknowledged any route at or after `at`."""

    def forget(self, before: datetime) -> int:
        """Delete routers not seen since `before` that lack a route's newest table. Returns the number of rows."""


class Models(Protocol):
    """Serving state of each model."""

    def get(self, model: str) -> Serving | None: ...

    def all(self) -> list[Serving]: ...

    def save(self, before: Serving | None, after: Serving) -> None:
        """Save a serving state. Raises StaleRollout when another writer changed it since `before` was read."""


class Versions(Protocol):
    """Versions that were ever rolled out or pinned."""

    def get(self, key: VersionKey) -> Version | None: ...

    def digests(self) -> dict[VersionKey, str]:
        """Digest of every version, without reading their manifests."""

    def save(self, version: Version) -> None: ...

    def set_stage(self, key: VersionKey, stage: str) -> None:
        """Record the registry stage of a version; ignored for an unknown version."""


class ComparisonRecords(Protocol):
    """What the evaluator found about versions that wait for traffic."""

    def add(self, event: EvaluationFinished) -> None:
        """Record its comparisons; a newer one of the same pair replaces an older one."""

    def among(self, model: str, versions: Collection[int]) -> dict[Pair, Comparison]:
        """Comparisons of these versions with one another."""

    def forget(self, before: datetime) -> int:
        """Delete comparisons made before a moment. Returns the number of rows."""


class Votes(Protocol):
    """Votes of adaptive models."""

    def get(self, model: str) -> Vote | None: ...

    def all(self) -> list[Vote]: ...

    def save(self, before: Vote | None, after: Vote) -> None:
        """Save a vote. Raises StaleRollout when another writer changed it since `before` was read."""


class Records(Protocol):
    """All records within one transaction."""

    @property
    def rollouts(self) -> Rollouts: ...
    @property
    def routes(self) -> Routes: ...
    @property
    def acknowledgements(self) -> Acknowledgements: ...
    @property
    def serving(self) -> Models: ...
    @property
    def versions(self) -> Versions: ...
    @property
    def comparisons(self) -> ComparisonRecords: ...
    @property
    def votes(self) -> Votes: ...

    def models(self) -> list[str]:
        """Models that have a route or an open rollout."""

    def claim(self, event: Message) -> bool:
        """Return True the first time an event is handled."""


class Store(Protocol):
    """Opens transactions. Every call may block."""

    def write(self) -> AbstractContextManager[Records]:
        """Commit on success, roll back on any error."""

    def read(self) -> AbstractContextManager[Records]:
        """A transaction for reading only; it does not wait for writers."""


class Registry(Protocol):
    """Client of the registry. Every call may raise VersionUnusable or RegistryUnavailable."""

    def version(self, model: str, version: int) -> Version: ...

    def policy(self, model: str) -> RolloutPolicy: ...

    def gate(self, model: str) -> GatePolicy: ...

    def download(self, file: ManifestFile, folder: Path) -> None:
        """Download all files of the version and `manifest.json` to `folder`, and verify their digests."""


class Monitor(Protocol):
    """Client of the monitor."""

    def votes(self, model: str, after: str | None) -> LabelPage | None:
        """Labels of rows on which members voted, after a position; None without a usable response."""

    def members(self, model: str, since: datetime) -> list[Calls] | None:
        """Calls of each member after `since`; None without a usable response."""

    def health(self, model: str, route: str, since: datetime, new: int, old: int) -> Stratum | None:
        """Counts of versions `new` (as canary) and `old` (as stable) after `since`; None without a usable response."""


class Workloads(Protocol):
    """Runs versions: as local processes, as containers, or on a cluster."""

    def ensure(self, version: Version, replicas: int, resources: Resources) -> Workload:
        """Move towards `replicas` ready replicas of a version and return the observed state.

        Idempotent, does not wait for readiness: call it again until the version is ready. Cancels a `drain`.
        """

    def drain(self, key: VersionKey, grace_s: float) -> bool:
        """Stop all replicas of a version `grace_s` after the first call; until then they keep serving.

        A replica that does not exit is killed. Returns True once no replica is left; poll until it does.
        """

    def observe(self, key: VersionKey, replicas: int) -> Workload:
        """Return the observed state of a version; changes nothing."""

    def running(self, model: str | None = None) -> frozenset[VersionKey]:
        """Versions with replicas, including starting and draining ones."""

    def instances(self, model: str | None = None) -> list[Instance]:
        """Every replica, for display."""

    def poll(self) -> frozenset[str]:
        """Check all replicas; returns the models whose workloads changed and need `ensure`. Cheap."""

    def prepare(self) -> None:
        """Prepare for a start that is expected soon; returns immediately."""


PriceOf = Callable[[Version], Price | None]
"""What an answer of a version costs now, in US dollars; None while it is not known."""


def registered_price(version: Version) -> Price:
    """The price in the manifest."""
    return version.file.manifest.price


@dataclass(frozen=True)
class Deps:
    """Dependencies of the use cases."""

    store: Store
    registry: Registry
    clock: Clock
    workloads: Workloads
    notify: Callable[[str], None]
    """Wakes the reconciler for a model; callable from any thread."""
    policy_time: PolicyTime = field(default_factory=ClockTime)
    """What steps and holds count in."""
