"""Read all facts, compute one new status, write it once. A crash at any line is repaired by running again."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from modelyard_contracts import RoutePublished, RouteTarget, derived_id
from modelyard_deployer.domain.acknowledgements import Applied, applied
from modelyard_deployer.domain.decide import Facts, Limits, decide, needs_evidence
from modelyard_deployer.domain.errors import StaleRollout
from modelyard_deployer.domain.ports import Records, Store, Workloads
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.routes import Route, Version
from modelyard_deployer.domain.snapshot import Snapshot
from modelyard_deployer.domain.traffic import after as route_after
from modelyard_deployer.domain.traffic import targets, wanted_versions
from modelyard_deployer.domain.workloads import Resources, VersionKey, Workload
from modelyard_deployer.reconcile.admission import Admission
from modelyard_deployer.reconcile.evidence import Evidence
from modelyard_deployer.usecases.snapshot import read_snapshot
from modelyard_runtime.clock import Clock

MAX_ROUNDS: Final = 20
"""Rounds in a row for one model before the other models get a turn; more than a rollout can move without waiting."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sizing:
    """Replicas of every version, from the settings."""

    replicas: int = 1
    resources: Resources = field(default_factory=Resources)
    drain_s: float = 5.0
    """Between the last share of traffic of a version and the stop of its replicas."""


def _ignore(_: Rollout) -> None:
    return None


@dataclass(frozen=True)
class Reconciler:
    """Runs for one model in one thread at a time; different models may run side by side."""

    store: Store
    admission: Admission
    workloads: Workloads
    evidence: Evidence
    clock: Clock
    limits: Limits
    sizing: Sizing = field(default_factory=Sizing)
    on_moved: Callable[[Rollout], None] = _ignore
    """Called after the commit, for metrics."""

    def models(self) -> list[str]:
        """Models with a route, an open rollout or replicas."""
        with self.store.read() as records:
            return sorted({*records.models(), *(key.model for key in self.workloads.running())})

    def settle(self, model: str) -> bool:
        """Reconcile until nothing more can be done without waiting; True when something is being waited for."""
        waiting = True
        for _ in range(MAX_ROUNDS):
            try:
                moved, waiting = self.reconcile(model)
            except StaleRollout:
                continue
            if not moved:
                break
        return waiting

    def reconcile(self, model: str) -> tuple[bool, bool]:
        """Run one round. Returns whether something moved, and whether something is being waited for."""
        with self.store.read() as records:
            snapshot = read_snapshot(records, model, self.clock())
        if snapshot.active is None and snapshot.pending is not None:
            return self.admission.admit(snapshot, snapshot.pending), True
        workloads, settled = self._run(snapshot)
        after = self._decide(snapshot, snapshot.active, workloads) if snapshot.active else None
        moved = self._write(snapshot, after, workloads)
        return moved, snapshot.active is not None or not settled

    def _run(self, snapshot: Snapshot) -> tuple[dict[int, Workload], bool]:
        """Run the wanted versions and drain all others; returns their state, and whether it is the wanted one."""
        wanted = wanted_versions(snapshot.route, snapshot.active, self.clock())
        workloads = {
            number: self.workloads.ensure(snapshot.versions[number], self.sizing.replicas, self.sizing.resources)
            for number in wanted
            if number in snapshot.versions
        }
        unwanted = self.workloads.running(snapshot.model) - {VersionKey(snapshot.model, number) for number in wanted}
        drained = [self.workloads.drain(key, self.sizing.drain_s) for key in unwanted]
        return workloads, all(drained) and all(workload.ready for workload in workloads.values())

    def _decide(self, snapshot: Snapshot, rollout: Rollout, workloads: dict[int, Workload]) -> Rollout:
        answer = self.evidence.next(rollout) if needs_evidence(rollout) else None
        facts = Facts(
            now=self.clock(),
            rollout=rollout,
            workload=workloads.get(rollout.to_version, Workload()),
            applied=self._applied(snapshot),
            evidence=answer.stratum if answer else None,
            answered=answer is not None,
            limits=self.limits,
        )
        return decide(facts)

    def _applied(self, snapshot: Snapshot) -> Applied:
        if snapshot.route is None:
            return Applied()
        return applied(snapshot.acks, snapshot.route.sequence, snapshot.settled_sequence, self.clock())

    def _write(self, snapshot: Snapshot, after: Rollout | None, workloads: dict[int, Workload]) -> bool:
        """Write rollout, route and their events in one transaction; nothing at all when nothing changed."""
        before, route, now = snapshot.active, snapshot.route, self.clock()
        if route is None:
            return False
        new_route = route_after(route, after, now) if after and after != before else route
        table = targets(new_route, after, snapshot.versions, workloads)
        publishes = table is not None and table != route.targets
        if after == before and new_route == route and not publishes:
            return False
        with self.store.write() as records:
            if before and after and after != before:
                after = records.rollouts.save(before, after)
            if table is not None and publishes:
                self._publish(records, snapshot, replace(new_route, targets=table), after)
            elif new_route != route:
                records.routes.save(route, new_route)
        if before and after and after.state != before.state:
            log.info("rollout %s of %s: %s, %s", after.id, after.model, after.state, after.reason)
            self.on_moved(after)
        return True

    def _publish(self, records: Records, snapshot: Snapshot, route: Route, cause: Rollout | None) -> None:
        new = replace(route, sequence=route.sequence + 1)
        records.routes.save(snapshot.route, new)
        now = self.clock()
        message = RoutePublished(
            event_id=derived_id("route", new.name, new.sequence),
            occurred_at=now,
            correlation_id=cause.correlation_id if cause else derived_id("route", new.name),
            cause_id=derived_id("rollout", cause.id, cause.revision) if cause else None,
            route=new.name,
            model=new.model,
            sequence=new.sequence,
            salt=new.salt,
            targets=new.targets,
            feature_schemas=_schemas(new.targets, snapshot.versions),
            timeout_ms=new.policy.timeout_ms,
            rollout_id=cause.id if cause else None,
            reason=cause.reason if cause else "the addresses of the replicas changed",
        )
        records.routes.publish(message, now)


def _schemas(table: tuple[RouteTarget, ...], versions: Mapping[int, Version]) -> dict[str, str]:
    schemas = {versions[target.version].manifest.feature_schema for target in table}
    return {schema.id: schema.model_dump_json() for schema in schemas}
