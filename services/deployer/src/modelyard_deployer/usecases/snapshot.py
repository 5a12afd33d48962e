"""Read the snapshot of one model."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from modelyard_contracts import RolloutState
from modelyard_deployer.domain.acknowledgements import ROUTER_MEMORY_S
from modelyard_deployer.domain.ports import Records
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.snapshot import ModelState, RouteState, Snapshot
from modelyard_deployer.domain.superseding import DEPLOYER, Comparisons
from modelyard_deployer.domain.workloads import VersionKey


def read_snapshot(records: Records, model: str, now: datetime) -> Snapshot:
    """Read the records of a model, and of all models that share a route with it, in one transaction.

    Reads only the versions that may be needed, so the cost does not grow with the number of past versions. The number
    of statements does not grow with the number of routes.
    """
    rollouts = records.rollouts.open(model)
    waiting = [rollout for rollout in rollouts if rollout.state is RolloutState.PENDING]
    state = ModelState(records.serving.get(model), _active(rollouts), records.votes.get(model))
    minute_ago = now - timedelta(seconds=ROUTER_MEMORY_S)
    acks, settled = records.acknowledgements.of_model(model), records.routes.newest_before(model, minute_ago)
    routes = tuple(
        RouteState(route, acks.get(route.name, ()), settled.get(route.name, 0))
        for route in records.routes.of_model(model)
    )
    names = {name for carried in routes for name in carried.route.models} - {model}
    others = {name: _state(records, name) for name in names}
    pinned = {key for carried in routes for key in carried.route.pinned}
    return Snapshot(
        model=model,
        state=state,
        waiting=tuple(sorted(waiting, key=_turn)),
        routes=routes,
        others=others,
        versions=_versions(records, {*pinned, *_keys({**others, model: state}), *_waiting_keys(waiting)}),
        comparisons=_comparisons(records, state, waiting) if waiting else {},
        routers=records.acknowledgements.seen_since(minute_ago),
    )


def _state(records: Records, model: str) -> ModelState:
    return ModelState(records.serving.get(model), _active(records.rollouts.open(model)), records.votes.get(model))


def _turn(rollout: Rollout) -> tuple[bool, bool, bool]:
    """Order of waiting rollouts: roll-backs first, a superseded version later, live shares last."""
    return rollout.kind is not Kind.ROLL_BACK, rollout.live_share, rollout.requested_by == DEPLOYER


def _active(rollouts: Iterable[Rollout]) -> Rollout | None:
    return next((rollout for rollout in rollouts if rollout.active), None)


def _keys(states: Mapping[str, ModelState]) -> Iterator[VersionKey]:
    """Versions that may serve or be kept ready."""
    for model, state in states.items():
        numbers = [state.active.to_version, state.active.from_version] if state.active else []
        if state.serving:
            numbers += [state.serving.champion, state.serving.previous]
        if state.vote and state.vote.members:
            numbers += state.vote.versions
        elif state.serving and state.serving.policy.strategy == "adaptive":
            numbers += state.serving.history  # may join the vote when it begins
        yield from (VersionKey(model, number) for number in numbers if number is not None)


def _waiting_keys(waiting: Iterable[Rollout]) -> set[VersionKey]:
    return {VersionKey(rollout.model, rollout.to_version) for rollout in waiting}


def _comparisons(records: Records, state: ModelState, waiting: list[Rollout]) -> Comparisons:
    """Comparisons of the waiting versions with the champion and the version being rolled out."""
    model = waiting[0].model
    numbers = {key.version for key in (*_keys({model: state}), *_waiting_keys(waiting))}
    return records.comparisons.among(model, numbers)


def _versions(records: Records, keys: set[VersionKey]) -> dict[VersionKey, Version]:
    return {key: version for key in keys if (version := records.versions.get(key))}
