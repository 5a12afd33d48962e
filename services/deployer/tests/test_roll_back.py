"""Roll-back to the previous version: fast, without the registry, and not twice to the same mistake."""

import pytest

from modelyard_contracts import RolloutAction, RolloutChanged, RolloutStrategy, VersionStage
from modelyard_contracts import RolloutState as State
from modelyard_runtime.errors import Conflict

from .conftest import World


def test_a_roll_back_takes_the_version_before_which_is_still_warm(world: World) -> None:
    world.given_serving(1)
    world.given_serving(2)
    started = len(world.processes.started)
    with world.registry_unavailable():
        rollout = world.request(RolloutAction.ROLL_BACK, reason="too slow")
        world.settle()
    assert world.weights() == {1: 1.0}
    world.clock.advance(0.4)
    world.routers_apply()
    world.settle()

    done = world.rollout(rollout.id)
    assert (done.state, done.from_version, done.to_version) == (State.ROLLED_BACK, 2, 1)
    assert done.evidence["seconds"] == pytest.approx(0.4)
    assert len(world.processes.started) == started
    assert (world.serving().champion, world.serving().previous) == (1, None)
    assert world.published(RolloutChanged)[-1].state is State.ROLLED_BACK


def test_a_cold_version_is_started_before_it_gets_traffic(world: World) -> None:
    world.given_serving(1)
    world.given_serving(2)
    world.settle(4000.0)
    world.settle(6.0)
    assert world.processes.serving() == {2}
    world.processes.mute = {1}
    world.request(RolloutAction.ROLL_BACK)
    world.settle()
    assert world.weights() == {2: 1.0}
    world.processes.mute = set()
    world.settle(0.1)
    assert world.weights() == {1: 1.0}


def test_silent_routers_are_reported_and_not_waited_for_for_ever(world: World) -> None:
    world.given_serving(1)
    world.given_serving(2)
    world.routers_apply("router-1", "router-2")
    rollout = world.request(RolloutAction.ROLL_BACK)
    world.settle()
    world.routers_apply("router-1")
    world.settle(1.0)
    assert world.rollout(rollout.id).state is State.SHIFTING
    world.settle(10.0)
    done = world.rollout(rollout.id)
    assert done.state is State.ROLLED_BACK
    assert "router-2" in done.reason
    assert done.evidence["routers_silent"] == 1


def test_a_router_that_missed_the_tables_of_the_last_minute_is_forgotten(world: World) -> None:
    world.given_serving(1)
    world.routers_apply("router-1", "gone")
    world.request(RolloutAction.START, 2, strategy=RolloutStrategy.FULL)
    world.settle()
    world.routers_apply("router-1")
    world.settle(11.0)
    assert world.serving().champion == 2
    world.settle(120.0)
    rollout = world.request(RolloutAction.ROLL_BACK)
    world.settle()
    world.routers_apply("router-1")
    world.settle()
    assert world.rollout(rollout.id).state is State.ROLLED_BACK
    assert world.rollout(rollout.id).evidence["routers_silent"] == 0


def test_a_quiet_router_that_has_the_newest_table_is_waited_for(world: World) -> None:
    world.given_serving(1)
    world.given_serving(2)
    world.settle(1_000.0)
    rollout = world.request(RolloutAction.ROLL_BACK)
    world.settle()
    assert world.rollout(rollout.id).state is State.SHIFTING


def test_a_roll_back_during_a_canary_ends_the_canary(world: World) -> None:
    canary = world.given_canary()
    answer = world.request(RolloutAction.ROLL_BACK, reason="looks bad")
    world.settle()
    assert answer.id == canary.id
    assert world.rollout(canary.id).state is State.ABORTED
    assert world.weights() == {1: 1.0}


def test_after_a_roll_back_the_bad_version_does_not_come_back_by_itself(world: World) -> None:
    world.given_serving(1)
    world.given_serving(2)
    world.request(RolloutAction.ROLL_BACK)
    world.settle()
    world.routers_apply()
    world.settle()
    world.approve(2)
    world.settle()
    assert world.serving().champion == 1
    with pytest.raises(Conflict, match="no earlier version"):
        world.request(RolloutAction.ROLL_BACK)


def test_a_roll_back_gives_no_traffic_to_a_replica_that_was_stopped(world: World) -> None:
    """The previous version is no longer kept warm, and its process takes a moment to exit."""
    world.given_serving(1)
    world.given_serving(2)
    world.processes.stubborn = True
    world.settle(4000.0)
    world.settle(6.0)
    [ending] = world.processes.terminated
    rollout = world.request(RolloutAction.ROLL_BACK)
    world.settle()
    assert world.weights() == {1: 1.0}
    [target] = world.targets()
    assert target.urls != (f"http://replica:{ending.pid}",)
    assert len(world.processes.running) == 3
    world.routers_apply()
    world.processes.stubborn = False
    world.settle()
    assert world.rollout(rollout.id).state is State.ROLLED_BACK
    assert ending not in world.processes.running.values()
    assert world.processes.serving() >= {1}


def test_a_deployer_killed_while_a_replica_stops_does_not_adopt_it(world: World) -> None:
    world.given_serving(1)
    world.given_serving(2)
    world.processes.stubborn = True
    world.settle(4000.0)
    world.settle(6.0)
    [ending] = world.processes.terminated
    world.processes.stubborn = False
    world.restart()
    world.settle()
    assert ending not in world.processes.running.values()
    assert world.processes.serving() == {2}


def test_two_roll_backs_go_two_versions_back(world: World) -> None:
    for version in (1, 2, 3):
        world.given_serving(version)
    for expected in (2, 1):
        world.request(RolloutAction.ROLL_BACK)
        world.settle()
        world.routers_apply()
        world.settle()
        assert world.serving().champion == expected


def withdraw(world: World, version: int, stage: VersionStage = VersionStage.REJECTED) -> None:
    world.approve(version, stage=stage, previous_stage=VersionStage.APPROVED, actor="ben")


def test_a_version_that_never_served_cannot_be_rolled_back_to(world: World) -> None:
    """Version 2 is a canary: a roll-back that names it must not make it champion."""
    canary = world.given_canary(2)
    with pytest.raises(Conflict, match="version 2 of churn has not served before; start a rollout of it instead"):
        world.request(RolloutAction.ROLL_BACK, 2)
    world.settle()
    assert world.rollout(canary.id).state is State.SHIFTING
    assert world.serving().champion == 1
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})


def test_a_version_that_was_rejected_after_it_served_is_not_put_back(world: World) -> None:
    for version in (1, 2, 3):
        world.given_serving(version)
    withdraw(world, 2)
    with pytest.raises(Conflict, match="version 2 of churn is rejected; approve it again first"):
        world.request(RolloutAction.ROLL_BACK, 2)
    rollout = world.request(RolloutAction.ROLL_BACK)
    world.settle()
    world.routers_apply()
    world.settle()
    assert (world.rollout(rollout.id).to_version, world.serving().champion) == (1, 1)


def test_a_rejected_version_may_be_put_back_once_it_was_approved_again(world: World) -> None:
    world.given_serving(1)
    world.given_serving(2)
    withdraw(world, 1)
    with pytest.raises(Conflict, match="churn has no earlier version that may serve"):
        world.request(RolloutAction.ROLL_BACK)
    world.approve(1, previous_stage=VersionStage.REJECTED)
    assert world.request(RolloutAction.ROLL_BACK, 1).to_version == 1


def test_a_roll_back_without_any_router_ends_and_says_so(world: World) -> None:
    """The table is published; routers apply it when they return."""
    world.given_serving(1)
    world.given_serving(2)
    world.routers_apply(accepted=False, reason="no memory")
    rollout = world.request(RolloutAction.ROLL_BACK)
    world.settle()
    world.routers_apply(accepted=False, reason="no memory")
    world.settle()
    done = world.rollout(rollout.id)
    assert (done.state, done.evidence["routers_applied"]) == (State.ROLLED_BACK, 0)
    assert done.reason == "version 1 is published; no router has applied it yet; refused: router-1: no memory"
