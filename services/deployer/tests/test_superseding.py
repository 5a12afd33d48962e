"""A newer, better version takes the place of the one in a canary."""

from uuid import uuid4

import pytest

from modelyard_contracts import RolloutAction, RolloutChanged, Verdict, VersionStage
from modelyard_contracts import RolloutState as State
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.counts import Arm

from .conftest import MODEL, World


def states(world: World) -> list[tuple[int, State]]:
    """Version and state of every rollout after the first, oldest first."""
    return [(rollout.to_version, rollout.state) for rollout in world.rollouts()[1:]]


def steps(world: World, rounds: int = 8) -> None:
    """Let a healthy canary go through its steps."""
    world.healthy()
    for _ in range(rounds):
        world.settle(3.0)
        world.routers_apply()


def test_a_newer_better_version_takes_the_place_of_the_one_in_a_canary(world: World) -> None:
    canary = world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)

    ended = world.rollout(canary.id)
    assert (ended.state, ended.superseded_by) == (State.ABORTED, 3)
    assert ended.reason == "version 3 takes its place: it is better on the same rows"
    assert world.weights() == pytest.approx({1: 0.95, 3: 0.05})

    steps(world)
    assert world.serving().champion == 3
    last = world.rollouts()[-1]
    assert (last.to_version, last.state, last.superseded_by) == (2, State.ABORTED, 3)
    assert last.reason == "version 3, which serves now, is better on the same rows"


def test_the_comparison_may_come_after_the_approval(world: World) -> None:
    world.given_automatic_canary(2)
    world.approve(3)
    world.settle(0.01)
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})

    world.evaluate(3, 2, Verdict.DEPLOY)
    world.settle()
    assert world.weights() == pytest.approx({1: 0.95, 3: 0.05})


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.CONTINUE_TUNING, Verdict.INCONCLUSIVE])
def test_a_version_that_is_not_better_waits(world: World, verdict: Verdict) -> None:
    canary = world.given_automatic_canary(2)
    world.evaluate(3, 2, verdict)
    world.approve(3)
    world.settle(0.01)
    assert world.rollout(canary.id).active
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})


def test_a_version_that_was_never_compared_waits(world: World) -> None:
    canary = world.given_automatic_canary(2)
    world.evaluate(3, 1, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    assert world.rollout(canary.id).active


def test_the_policy_can_let_better_versions_wait(world: World) -> None:
    world.set_policy(RolloutPolicy(supersede="wait"))
    canary = world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    assert world.rollout(canary.id).active


def test_a_canary_that_a_person_started_is_not_superseded(world: World) -> None:
    canary = world.given_canary(2)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    assert world.rollout(canary.id).active


def test_an_older_version_never_supersedes_a_newer_one(world: World) -> None:
    canary = world.given_automatic_canary(3)
    world.evaluate(2, 3, Verdict.DEPLOY)
    world.request(RolloutAction.START, 2)
    world.settle()
    assert world.rollout(canary.id).active


def test_a_rollout_at_its_last_step_ends_before_the_next_begins(world: World) -> None:
    canary = world.given_automatic_canary(2)
    world.healthy()
    while world.rollout(canary.id).weight_percent < 100:
        world.settle(3.0)
        if world.rollout(canary.id).weight_percent < 100:
            world.routers_apply()
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    assert world.rollout(canary.id).state is State.SHIFTING

    world.routers_apply()
    world.settle()
    assert world.rollout(canary.id).state is State.PROMOTED
    assert world.weights() == pytest.approx({2: 0.95, 3: 0.05})


def test_the_canary_continues_until_its_successor_is_ready(world: World) -> None:
    canary = world.given_automatic_canary(2)
    world.processes.mute.add(3)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})
    assert world.rollout(canary.id).active

    world.processes.mute.clear()
    world.settle()
    assert world.weights() == pytest.approx({1: 0.95, 3: 0.05})


def test_a_successor_that_never_starts_does_not_stop_the_canary(world: World) -> None:
    world.given_automatic_canary(2)
    world.processes.unstartable.add(3)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    steps(world)
    assert world.serving().champion == 2


def test_when_the_successor_is_bad_the_superseded_version_has_its_turn(world: World) -> None:
    world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    world.routers_apply()
    world.healthy(new=Arm(answers=100, errors=50))
    world.settle(1.0)
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})

    steps(world)
    assert world.serving().champion == 2
    assert states(world) == [(2, State.ABORTED), (3, State.ABORTED), (2, State.PROMOTED)]


def test_when_both_are_bad_the_stable_version_stays(world: World) -> None:
    world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    for _ in range(6):
        world.routers_apply()
        world.healthy(new=Arm(answers=100, errors=50))
        world.settle(1.0)
    assert world.weights() == {1: 1.0}
    assert states(world) == [(2, State.ABORTED), (3, State.ABORTED), (2, State.ABORTED)]
    against = [world.rollouts()[n].evidence[RolloutChanged.AGAINST_VERSION] for n in (1, 2, 3)]
    assert against == [0.0, 1.0, 1.0]


def test_a_chain_of_better_versions_ends_with_the_newest(world: World) -> None:
    world.given_automatic_canary(2)
    for newer in (3, 4, 5):
        world.evaluate(newer, newer - 1, Verdict.DEPLOY)
        world.approve(newer)
        world.settle(0.01)
        world.routers_apply()
    assert world.weights() == pytest.approx({1: 0.95, 5: 0.05})
    steps(world)
    assert world.serving().champion == 5


def test_a_redelivered_comparison_and_approval_change_nothing(world: World) -> None:
    world.given_automatic_canary(2)
    evaluated, approved = world.evaluate(3, 2, Verdict.DEPLOY), world.approve(3)
    world.settle()
    known = states(world)
    world.deliver(evaluated)
    world.deliver(approved)
    world.settle()
    assert states(world) == known


def test_an_older_comparison_that_comes_late_does_not_replace_a_newer_one(world: World) -> None:
    canary = world.given_automatic_canary(2)
    old = world.clock()
    world.evaluate(3, 2, Verdict.CONTINUE_TUNING)
    world.evaluate(3, 2, Verdict.DEPLOY, occurred_at=old)
    world.approve(3)
    world.settle(0.01)
    assert world.rollout(canary.id).active


def test_a_version_that_is_worse_than_the_new_champion_is_not_rolled_out(world: World) -> None:
    world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.REJECT)
    world.approve(3)
    steps(world)
    assert world.serving().champion == 2
    last = world.rollouts()[-1]
    assert (last.to_version, last.state, last.superseded_by) == (3, State.ABORTED, 2)


def test_a_person_may_roll_out_a_version_that_is_worse(world: World) -> None:
    world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.REJECT)
    steps(world)
    world.request(RolloutAction.START, 3)
    world.settle()
    assert world.weights() == pytest.approx({2: 0.95, 3: 0.05})


def test_the_next_version_starts_while_it_waits(world: World) -> None:
    world.given_automatic_canary(2)
    world.approve(3)
    world.settle(0.01)
    assert world.processes.serving() == {1, 2, 3}
    assert 3 not in world.weights()


def test_without_the_registry_the_next_version_is_prepared_once_it_answers(world: World) -> None:
    world.given_automatic_canary(2)
    with world.registry_unavailable():
        world.approve(3)
        world.settle()
        assert world.processes.serving() == {1, 2}
    world.settle(6.0)
    assert world.processes.serving() == {1, 2, 3}


def test_a_rejected_successor_is_neither_started_nor_waited_for(world: World) -> None:
    canary = world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.DEPLOY)
    event = world.approve(3)
    world.deliver(event.model_copy(update={"event_id": uuid4(), "stage": VersionStage.REJECTED}))
    world.settle()
    assert world.rollout(canary.id).active
    assert world.processes.serving() == {1, 2}


def test_a_superseded_version_keeps_its_approval_in_the_registry(world: World) -> None:
    world.given_automatic_canary(2)
    world.evaluate(3, 2, Verdict.DEPLOY)
    world.approve(3)
    world.settle(0.01)
    for event in world.published(RolloutChanged):
        world.registry.deliver(event)
    assert world.registry_client.version(MODEL, 2).stage is VersionStage.APPROVED
    challenger = world.registry_client.alias(MODEL, "challenger")
    assert challenger is not None and challenger.version == 3


def test_a_version_that_is_being_rolled_out_needs_no_second_rollout(world: World) -> None:
    canary = world.given_automatic_canary(2)
    assert world.request(RolloutAction.START, 2).id == canary.id


def test_a_request_for_what_serves_already_ends_as_promoted(world: World) -> None:
    world.given_serving(1)
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    ended = world.rollout(rollout.id)
    assert (ended.state, ended.reason) == (State.PROMOTED, "version 1 serves already; nothing changed")
    assert [event for event in world.published(RolloutChanged) if event.rollout_id == rollout.id] == []
