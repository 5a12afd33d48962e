"""Read everything about one model."""

from datetime import datetime, timedelta

from modelyard_contracts import RolloutState
from modelyard_deployer.domain.acknowledgements import ROUTER_MEMORY_S
from modelyard_deployer.domain.ports import Records
from modelyard_deployer.domain.rollouts import Kind
from modelyard_deployer.domain.snapshot import Snapshot


def read_snapshot(records: Records, model: str, now: datetime) -> Snapshot:
    """The records of one model within one transaction."""
    rollouts = records.rollouts.open(model)
    waiting = [rollout for rollout in rollouts if rollout.state is RolloutState.PENDING]
    route = records.routes.of_model(model)
    minute_ago = now - timedelta(seconds=ROUTER_MEMORY_S)
    return Snapshot(
        model=model,
        active=next((rollout for rollout in rollouts if rollout.active), None),
        waiting=tuple(sorted(waiting, key=lambda rollout: rollout.kind is not Kind.ROLL_BACK)),
        route=route,
        versions=records.versions.of_model(model),
        acks=records.acknowledgements.of_route(route.name) if route else (),
        settled_sequence=records.routes.newest_before(route.name, minute_ago) if route else 0,
    )
