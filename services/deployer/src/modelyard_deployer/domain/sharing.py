"""Which versions of an adaptive model share a process: its members, unless there is a reason against it. Pure."""

from collections.abc import Iterable

from modelyard_contracts.sharing import shares_process
from modelyard_deployer.domain.snapshot import Snapshot
from modelyard_deployer.domain.workloads import VersionKey


def sharing(snapshot: Snapshot, wanted: Iterable[int]) -> frozenset[int]:
    """Versions that may share a process.

    Not a version that a route pins, so that a fallback to it does not fail together with the vote; nor a canary, nor a
    version that left the vote before, nor one that does harm.
    """
    serving, vote = snapshot.serving, snapshot.vote
    if serving is None or not ((vote and vote.members) or serving.policy.strategy == "adaptive"):
        return frozenset()
    apart = set(snapshot.pinned) | _canaries(snapshot)
    if vote is not None:
        apart |= {one.version for one in vote.departed} | {one.version for one in vote.members if one.harm}
    return frozenset(number for number in wanted if number not in apart and _may_share(snapshot, number))


def _canaries(snapshot: Snapshot) -> set[int]:
    """Versions that are, or will be, rolled out in another way than by joining the vote."""
    active = snapshot.active
    now = {active.to_version} if active is not None and not active.adaptive else set()
    return now | {rollout.to_version for rollout in snapshot.waiting if rollout.asked_strategy is not None}


def _may_share(snapshot: Snapshot, number: int) -> bool:
    version = snapshot.versions.get(VersionKey(snapshot.model, number))
    return version is not None and shares_process(version.file.manifest)
