"""Members of the votes: what the reconciler knows about them, and the rollouts that it requests because of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modelyard_contracts import RolloutState, RolloutStrategy, derived_id
from modelyard_deployer.domain import hedge
from modelyard_deployer.domain.membership import Facts, can_vote, harm_of_champion, heaviest, settle, why_not
from modelyard_deployer.domain.ports import Records, Store
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Serving, Version
from modelyard_deployer.domain.snapshot import Snapshot
from modelyard_deployer.domain.steps import ALL
from modelyard_deployer.domain.superseding import DEPLOYER
from modelyard_deployer.domain.votes import Vote
from modelyard_deployer.domain.workloads import VersionKey, Workload
from modelyard_runtime.clock import Clock

OTHER_CHANGE: Final = "the specification or the addresses of the replicas changed"


@dataclass(frozen=True)
class Members:
    """Decides about the members of each model; the reconciler writes the result with everything else."""

    store: Store
    clock: Clock
    max_failures: int = 3

    def settle(
        self, snapshot: Snapshot, serving: Serving, rollout: Rollout | None, workloads: Mapping[int, Workload]
    ) -> Vote | None:
        """The vote after this round; None for a model that was never adaptive."""
        champion = _version(snapshot, serving.champion)
        adaptive = serving.policy.strategy == "adaptive" and champion is not None and can_vote(champion)
        joins = rollout is not None and rollout.adaptive
        if snapshot.vote is None and not adaptive and not joins:
            return None
        known = {key.version: one for key, one in snapshot.versions.items() if key.model == snapshot.model}
        failing = {
            number: workload.last_words
            for number, workload in workloads.items()
            if workload.failures >= self.max_failures and not workload.urls
        }
        causes = {number: why_not(one, champion, failing.get(number, "")) for number, one in known.items()}
        facts = Facts(
            now=self.clock(),
            serving=serving,
            adaptive=adaptive,
            rollout=rollout,
            known=frozenset(known),
            causes={number: cause for number, cause in causes.items() if cause},
        )
        return settle(snapshot.vote or Vote(snapshot.model), facts)

    def request_moves(self, snapshot: Snapshot) -> bool:
        """Request the rollout that the members call for; True if there is a new one.

        A harmful lead is rolled back. A model that is no longer adaptive goes on with its best member.
        """
        move = _move(snapshot) if snapshot.active is None and snapshot.pending is None else None
        if move is None:
            return False
        with self.store.write() as records:
            return _add(records, snapshot, *move, self.clock)


def joining_percent(vote: Vote | None, rollout: Rollout) -> float:
    """The share of the vote that a version has, or starts with."""
    if vote is None or not vote.members:
        return ALL
    member = vote.member(rollout.to_version) or vote.member(rollout.replaces or 0)
    if member is not None:
        return member.weight * ALL
    entered = hedge.enter(vote.log_weights, rollout.to_version, rollout.policy.adaptive.entry_nats)
    return round(ALL * math.exp(entered[rollout.to_version]), 1)


def reason_of_change(before: Vote | None, after: Vote | None) -> str:
    """Why a route is published without a rollout."""
    if after is None or before is None or after == before:
        return _weights_moved(after) if after and after.members else OTHER_CHANGE
    gone = [one for one in after.departed if one not in before.departed]
    if gone:
        return "; ".join(f"version {one.version} left the vote: {one.reason}" for one in gone)
    return after.lead_only or _weights_moved(after)


def _weights_moved(vote: Vote) -> str:
    if vote.lead_only:
        return vote.lead_only
    weights = ", ".join(f"{one.version}: {one.weight:.3f}" for one in vote.members)
    return f"weights after {vote.labels} labels: {weights}; or the addresses of the replicas changed"


def _move(snapshot: Snapshot) -> tuple[Kind, int, str] | None:
    serving, vote = snapshot.serving, snapshot.vote
    if serving is None or vote is None or len(vote.members) < 2:
        return None
    target = heaviest(vote)
    if target is None or target == serving.champion:
        return None
    if harm := harm_of_champion(vote, serving):
        back = [number for number in serving.history if number in vote.versions and not _harm(vote, number)]
        return (Kind.ROLL_BACK, back[-1], f"version {serving.champion} does harm: {harm}") if back else None
    if serving.policy.strategy != "adaptive":
        return Kind.START, target, f"the policy is no longer adaptive; version {target} has the largest weight"
    return None


def _harm(vote: Vote, version: int) -> str:
    member = vote.member(version)
    return member.harm if member else ""


def _add(records: Records, snapshot: Snapshot, kind: Kind, version: int, reason: str, clock: Clock) -> bool:
    """Add a pending rollout once per serving state; False if there was one already."""
    serving = snapshot.serving
    assert serving is not None  # noqa: S101  `_move` found a champion
    rollout_id = derived_id("members", snapshot.model, kind, version, serving.champion, len(serving.history))
    if records.rollouts.get(rollout_id) is not None:
        return False
    records.rollouts.add(
        Rollout(
            id=rollout_id,
            model=snapshot.model,
            kind=kind,
            to_version=version,
            correlation_id=rollout_id,
            requested_by=DEPLOYER,
            created_at=clock(),
            changed_at=clock(),
            asked_strategy=RolloutStrategy.FULL,
            asked_reason=reason,
            route=serving.route,
            reason=reason,
            state=RolloutState.PENDING,
        )
    )
    return True


def _version(snapshot: Snapshot, number: int | None) -> Version | None:
    return snapshot.versions.get(VersionKey(snapshot.model, number)) if number is not None else None
