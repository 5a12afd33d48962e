"""Read the state, compute the next one, write it in one transaction. Idempotent: after a crash, run it again."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from modelyard_deployer.domain.acknowledgements import Applied, applied
from modelyard_deployer.domain.decide import Facts, Limits, again, decide, needs_evidence
from modelyard_deployer.domain.errors import StaleRollout
from modelyard_deployer.domain.ports import PriceOf, Records, Store, Workloads, registered_price
from modelyard_deployer.domain.publication import Cause, leaves_of, publication
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.routes import Route, Serving
from modelyard_deployer.domain.sharing import sharing
from modelyard_deployer.domain.snapshot import ModelState, Snapshot
from modelyard_deployer.domain.traffic import after as serving_after
from modelyard_deployer.domain.traffic import wanted_versions
from modelyard_deployer.domain.votes import Vote
from modelyard_deployer.domain.workloads import Resources, VersionKey, Workload
from modelyard_deployer.reconcile.admission import Admission
from modelyard_deployer.reconcile.evidence import Evidence
from modelyard_deployer.reconcile.members import Members, joining_percent, reason_of_change
from modelyard_deployer.reconcile.plans import Plans
from modelyard_deployer.usecases.snapshot import read_snapshot
from modelyard_runtime.clock import Clock
from modelyard_runtime.policy_time import ClockTime, PolicyTime

MAX_ROUNDS: Final = 20
"""Consecutive rounds for one model before it yields; more than a rollout needs without waiting."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sizing:
    """Replicas of every version, from the settings."""

    replicas: int = 1
    resources: Resources = field(default_factory=Resources)
    drain_s: float = 5.0
    """Time between the last traffic of a version and the stop of its replicas."""


@dataclass(frozen=True)
class Outcome:
    """Result of one round; equal to the snapshot when there is nothing to do."""

    rollout: Rollout | None
    serving: Serving | None
    vote: Vote | None
    routes: tuple[Route, ...]


def _ignore(_: Rollout) -> None:
    return None


@dataclass(frozen=True)
class Reconciler:
    """Runs for one model in one thread at a time; different models may run concurrently."""

    store: Store
    admission: Admission
    workloads: Workloads
    evidence: Evidence
    clock: Clock
    limits: Limits
    members: Members
    sizing: Sizing = field(default_factory=Sizing)
    on_moved: Callable[[Rollout], None] = _ignore
    """Called after the commit, for metrics."""
    policy_time: PolicyTime = field(default_factory=ClockTime)
    price_of: PriceOf = registered_price

    def models(self) -> list[str]:
        """Models with a route, an open rollout or replicas."""
        with self.store.read() as records:
            return sorted({*records.models(), *(key.model for key in self.workloads.running())})

    def settle(self, model: str) -> bool:
        """Reconcile until no progress is possible without waiting; return True if the model is waiting."""
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
        """Run one round. Returns whether anything changed, and whether the model is waiting."""
        with self.store.read() as records:
            snapshot = read_snapshot(records, model, self.clock())
        if snapshot.active is None and snapshot.pending is not None:
            return self.admission.admit(snapshot, snapshot.pending), True
        workloads, settled = self._run(snapshot)
        rollout = self._decide(snapshot, snapshot.active, workloads) if snapshot.active else None
        moved = self._write(snapshot, self._outcome(snapshot, rollout, workloads))
        return moved, snapshot.active is not None or not settled

    def note_failure(self, model: str, problem: str) -> None:
        """Record why a model cannot be reconciled as the reason of its open rollout, so that it is visible."""
        with self.store.write() as records:
            for rollout in records.rollouts.open(model):
                if rollout.reason != problem:
                    records.rollouts.save(rollout, replace(rollout, reason=problem))

    def _run(self, snapshot: Snapshot) -> tuple[dict[int, Workload], bool]:
        """Run the wanted versions and drain all others; returns their state, and whether it is the desired one."""
        model, sizing = snapshot.model, self.sizing
        wanted = {VersionKey(model, number) for number in self._wanted(snapshot)}
        shared = sharing(snapshot, [key.version for key in wanted])
        workloads = {
            key.version: self.workloads.ensure(
                snapshot.versions[key],
                sizing.replicas,
                replace(sizing.resources, shared=key.version in shared),
            )
            for key in sorted(wanted & snapshot.versions.keys())
        }
        drained = [self.workloads.drain(key, sizing.drain_s) for key in self.workloads.running(model) - wanted]
        return workloads, all(drained) and all(workload.ready for workload in workloads.values())

    def _wanted(self, snapshot: Snapshot) -> set[int]:
        """Versions that need replicas; the next one starts while it waits, once the registry has described it."""
        wanted = wanted_versions(snapshot.state, snapshot.pinned, self.clock())
        upcoming = snapshot.next_version
        if upcoming is None:
            return wanted
        key = VersionKey(snapshot.model, upcoming)
        if key not in snapshot.versions:
            self.admission.expect(key)
        return wanted | {upcoming}

    def _decide(self, snapshot: Snapshot, rollout: Rollout, workloads: dict[int, Workload]) -> Rollout:
        answer = self.evidence.next(rollout) if needs_evidence(rollout) else None
        facts = Facts(
            now=self.clock(),
            rollout=rollout,
            workload=workloads.get(rollout.to_version, Workload()),
            applied=self._applied(snapshot, rollout),
            evidence=answer.stratum if answer else None,
            answered=answer is not None,
            limits=self.limits,
            joining_percent=joining_percent(snapshot.vote, rollout),
            policy_time=self.policy_time,
            successor=self._ready_successor(snapshot, workloads),
        )
        return decide(facts)

    def _ready_successor(self, snapshot: Snapshot, workloads: dict[int, Workload]) -> int | None:
        """The better version that waits, once its replicas are ready: until then the canary continues."""
        waiting = snapshot.successor
        if waiting is None or not workloads.get(waiting.to_version, Workload()).ready:
            return None
        return waiting.to_version

    def _applied(self, snapshot: Snapshot, rollout: Rollout) -> Applied:
        """Acknowledgements of the routes whose traffic the rollout moves; empty until all plans have the version."""
        key = VersionKey(snapshot.model, rollout.to_version)
        moved = [state for state in snapshot.routes if snapshot.model in state.route.managed]
        if any(key not in leaves_of(state.route.plan) for state in moved):
            return Applied()
        return applied(moved, snapshot.routers, self.clock())

    def _outcome(self, snapshot: Snapshot, rollout: Rollout | None, workloads: dict[int, Workload]) -> Outcome:
        serving = snapshot.serving
        if serving and rollout and rollout != snapshot.active:
            serving = serving_after(serving, rollout, self.clock())
        active = rollout if rollout and rollout.active else None
        vote = self.members.settle(snapshot, serving, rollout, workloads) if serving else snapshot.vote
        states = {**snapshot.others, snapshot.model: ModelState(serving, active, vote)}
        plans = Plans(states, snapshot.versions, self.workloads, self.sizing.replicas, self.price_of)
        return Outcome(rollout, serving, vote, tuple(plans.planned(state.route) for state in snapshot.routes))

    def _write(self, snapshot: Snapshot, outcome: Outcome) -> bool:
        """Write rollout, routes and their events in one transaction; write nothing when nothing changed."""
        before, rollout = snapshot.active, outcome.rollout
        old_routes = tuple(state.route for state in snapshot.routes)
        same = (before, snapshot.serving, snapshot.vote, old_routes)
        if (rollout, outcome.serving, outcome.vote, outcome.routes) == same:
            return self.members.request_moves(snapshot)
        with self.store.write() as records:
            if before and rollout and rollout != before:
                rollout = records.rollouts.save(before, rollout)
                if rollout.superseded_by is not None:
                    records.rollouts.add(again(rollout, self.clock()))
            if outcome.serving and outcome.serving != snapshot.serving:
                records.serving.save(snapshot.serving, outcome.serving)
            if outcome.vote and outcome.vote != snapshot.vote:
                records.votes.save(snapshot.vote, outcome.vote)
            for old, new in zip(old_routes, outcome.routes, strict=True):
                self._save_route(records, snapshot, old, new, self._cause(snapshot, outcome, rollout))
        if before and rollout and rollout.state != before.state:
            log.info("rollout %s of %s: %s, %s", rollout.id, rollout.model, rollout.state, rollout.reason)
            self.on_moved(rollout)
        return True

    def _save_route(self, records: Records, snapshot: Snapshot, old: Route, new: Route, cause: Cause) -> None:
        if new == old:
            return
        if new.plan == old.plan:
            records.routes.save(old, new)
            return
        new = replace(new, sequence=old.sequence + 1)
        records.routes.save(old, new)
        records.routes.publish(publication(new, snapshot.versions, cause, self.clock()))

    def _cause(self, snapshot: Snapshot, outcome: Outcome, rollout: Rollout | None) -> Cause:
        return Cause(rollout.reason if rollout else reason_of_change(snapshot.vote, outcome.vote), rollout)
