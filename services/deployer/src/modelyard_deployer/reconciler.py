"""Read all facts, compute one new status, write it once. A crash at any line is repaired by running again."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelyard_deployer import store
from modelyard_deployer.beginning import Beginner
from modelyard_deployer.domain import decide as deciding
from modelyard_deployer.domain.model import Rollout, VersionReplicas
from modelyard_deployer.domain.routers import Applied, applied
from modelyard_deployer.domain.routing import after as route_after
from modelyard_deployer.domain.routing import targets, wanted_versions
from modelyard_deployer.looks import Looks
from modelyard_deployer.replicas import Keeper
from modelyard_runtime.clock import Clock
from modelyard_runtime.database import Database

MAX_ROUNDS: Final = 20
"""Rounds in a row for one model before others have their turn; a rollout has fewer moves that need no waiting."""
log = logging.getLogger(__name__)


def _nobody(_: Rollout) -> None:
    return None


@dataclass(frozen=True)
class Reconciler:
    """Runs for one model in one thread at a time; different models may run side by side."""

    database: Database
    beginner: Beginner
    keeper: Keeper
    looks: Looks
    clock: Clock
    limits: deciding.Limits
    on_moved: Callable[[Rollout], None] = _nobody
    """Told after the commit, for metrics."""

    def models(self) -> list[str]:
        with self.database.read() as db:
            return store.models(db)

    def settle(self, model: str) -> bool:
        """Reconcile until nothing more can be done without waiting; True when something is being waited for."""
        waiting = True
        for _ in range(MAX_ROUNDS):
            try:
                moved, waiting = self.reconcile(model)
            except store.StaleRollout:
                continue
            if not moved:
                break
        return waiting

    def reconcile(self, model: str) -> tuple[bool, bool]:
        """One round: whether something moved, and whether something is being waited for."""
        snapshot = self._snapshot(model)
        if snapshot.active is None and snapshot.pending is not None:
            return self.beginner.begin(snapshot, snapshot.pending), True
        wanted = wanted_versions(snapshot.route, snapshot.active, self.clock())
        replicas = self.keeper.sync(model, {v: snapshot.versions[v] for v in wanted if v in snapshot.versions})
        after = self._decide(snapshot, snapshot.active, replicas) if snapshot.active else None
        moved = self._write(snapshot, after, replicas)
        return moved, snapshot.active is not None or not all(kept.ready for kept in replicas.values())

    def _snapshot(self, model: str) -> store.Snapshot:
        with self.database.read() as db:
            return store.snapshot(db, model, self.clock())

    def _decide(self, snapshot: store.Snapshot, rollout: Rollout, replicas: dict[int, VersionReplicas]) -> Rollout:
        look = self.looks.next(rollout) if deciding.needs_evidence(rollout) else None
        facts = deciding.Facts(
            now=self.clock(),
            rollout=rollout,
            replicas=replicas.get(rollout.to_version, VersionReplicas()),
            applied=self._applied(snapshot),
            evidence=look.stratum if look else None,
            looked=look is not None,
            limits=self.limits,
        )
        return deciding.decide(facts)

    def _applied(self, snapshot: store.Snapshot) -> Applied:
        if snapshot.route is None:
            return Applied()
        return applied(snapshot.acks, snapshot.route.sequence, snapshot.settled_sequence, self.clock())

    def _write(self, snapshot: store.Snapshot, after: Rollout | None, replicas: dict[int, VersionReplicas]) -> bool:
        """Rollout, route and their events in one transaction; nothing at all when nothing changed."""
        before, route, now = snapshot.active, snapshot.route, self.clock()
        if route is None:
            return False
        new_route = route_after(route, after, now) if after and after != before else route
        table = targets(new_route, after, snapshot.versions, replicas)
        publishes = table is not None and table != route.targets
        if after == before and new_route == route and not publishes:
            return False
        with self.database.transaction() as tx:
            if before and after and after != before:
                after = store.save_rollout(tx, before, after)
            if table is not None and publishes:
                store.publish(tx, route, new_route, table, snapshot.versions, after, now)
            elif new_route != route:
                store.save_route(tx.connection, route, new_route)
        if before and after and after.state != before.state:
            log.info("rollout %s of %s: %s, %s", after.id, after.model, after.state, after.reason)
            self.on_moved(after)
        return True
