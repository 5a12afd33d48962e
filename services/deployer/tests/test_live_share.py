"""A version whose comparison is undecided holds a live share (decision 0097)."""

from uuid import UUID, uuid4

import pytest

from modelyard_contracts import (
    EvaluationFinished,
    RolloutAction,
    RolloutChanged,
    RolloutRequested,
    RolloutState,
    Verdict,
    VersionStage,
)
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_deployer.domain.actions import StepAction
from modelyard_deployer.domain.counts import Arm
from modelyard_deployer.domain.errors import NotApproved
from modelyard_deployer.domain.rollouts import Rollout

from .conftest import MODEL, World, register
from .test_actions import act, rounds, view

NEW = 6
"""Registered, but not approved."""
EVALUATION = UUID(int=97)
HARM = Arm(answers=2_000, errors=400)


def a_request(world: World, version: int = NEW, evaluation: UUID = EVALUATION) -> RolloutRequested:
    return RolloutRequested(
        event_id=uuid4(),
        occurred_at=world.clock(),
        correlation_id=uuid4(),
        model=MODEL,
        action=RolloutAction.START,
        version=version,
        requested_by="evaluator",
        reason="its comparison with version 1 is undecided",
        evaluation_id=evaluation,
    )


def requested(world: World, **gate: object) -> Rollout:
    """Version 1 serves, and the evaluator asks for a live share of version 6."""
    register(world.registry, NEW, VersionStage.REGISTERED)
    policy = {"inconclusive": "live_share", "max_open_s": 3_600.0, **gate}
    world.registry_client.set_policy(MODEL, GatePolicy.model_validate(policy))
    world.given_serving(1)
    world.healthy()
    world.deliver(a_request(world))
    rounds(world, 3)
    return the(world, NEW)


def the(world: World, version: int) -> Rollout:
    [rollout] = [one for one in world.rollouts() if one.to_version == version]
    return rollout


def finished(world: World, verdict: Verdict) -> None:
    judged(world, verdict, EVALUATION)


def judged(world: World, verdict: Verdict, evaluation: UUID) -> None:
    world.deliver(
        EvaluationFinished(
            event_id=uuid4(),
            occurred_at=world.clock(),
            correlation_id=uuid4(),
            model=MODEL,
            evaluation_id=evaluation,
            challenger_version=NEW,
            challenger_digest="sha256:0",
            verdict=verdict,
            reasons=(),
        )
    )


def ended(world: World, rollout: Rollout) -> RolloutChanged:
    found: list[RolloutChanged] = world.published(RolloutChanged)
    [event] = [one for one in found if one.rollout_id == rollout.id and one.state.final]
    return event


def test_the_version_holds_the_share_of_the_gate_policy_however_good_it_is(world: World) -> None:
    rollout = requested(world, live_share_percent=7.0)
    rounds(world, 10)
    world.settle(3_000.0)
    rounds(world, 2)
    held = world.rollout(rollout.id)
    assert (held.state, held.step, held.weight_percent) == (RolloutState.HOLDING, 1, 7.0)
    assert world.weights() == pytest.approx({1: 0.93, NEW: 0.07})
    assert view(world, held)["evaluation_id"] == str(EVALUATION)


def test_a_request_that_is_delivered_twice_starts_one_rollout(world: World) -> None:
    requested(world)
    request = a_request(world)
    world.deliver(request)
    world.deliver(request)
    rounds(world, 2)
    assert sorted(one.to_version for one in world.rollouts()) == [1, NEW]


def test_an_event_alone_gives_no_traffic(world: World) -> None:
    rollout = requested(world, inconclusive="wait")
    assert (rollout.state, "gives no live share" in rollout.reason) == (RolloutState.FAILED, True)
    assert world.weights() == {1: 1.0}


def test_a_model_without_a_serving_version_gives_none(world: World) -> None:
    register(world.registry, NEW, VersionStage.REGISTERED)
    world.registry_client.set_policy(MODEL, GatePolicy(inconclusive="live_share"))
    world.deliver(a_request(world))
    world.settle()
    [rollout] = world.rollouts()
    assert (rollout.state, "no version serves yet" in rollout.reason) == (RolloutState.FAILED, True)


def test_harm_ends_the_share_at_once_and_speaks_against_the_version(world: World) -> None:
    rollout = requested(world)
    world.healthy(answers=2_000, new=HARM)
    rounds(world, 3)
    event = ended(world, rollout)
    assert (event.state, event.speaks_against_version, event.live_share) == (RolloutState.ABORTED, True, True)
    assert world.weights() == {1: 1.0}


def test_an_approved_version_goes_on_as_a_canary(world: World) -> None:
    rollout = requested(world)
    finished(world, Verdict.DEPLOY)
    world.approve(NEW)
    rounds(world, 12)
    promoted = world.rollout(rollout.id)
    assert (promoted.state, promoted.live_share, world.weights()) == (RolloutState.PROMOTED, False, {NEW: 1.0})
    steps = [one.weight_percent for one in world.published(RolloutChanged) if one.rollout_id == rollout.id]
    assert sorted(set(steps)) == [0.0, 5.0, 20.0, 50.0, 100.0]
    assert not ended(world, rollout).live_share


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.CONTINUE_TUNING, Verdict.INCONCLUSIVE])
def test_any_other_verdict_ends_the_share_without_evidence_against_the_version(world: World, verdict: Verdict) -> None:
    rollout = requested(world)
    finished(world, verdict)
    rounds(world, 2)
    event = ended(world, rollout)
    assert (event.state, event.speaks_against_version) == (RolloutState.ABORTED, False)
    assert event.reason == f"its comparison ended: {verdict}"


def test_the_verdict_of_another_evaluation_leaves_the_share(world: World) -> None:
    rollout = requested(world)
    judged(world, Verdict.INCONCLUSIVE, UUID(int=1))
    rounds(world, 2)
    assert world.rollout(rollout.id).state is RolloutState.HOLDING


def test_a_verdict_that_overtakes_its_request_leaves_no_share_for_ever(world: World) -> None:
    rollout = requested(world)
    world.settle(3_600.0 + 601.0)
    rounds(world, 2)
    assert ended(world, rollout).reason == "its comparison ended without a verdict"


def test_a_person_may_abort_the_share_and_the_version_can_still_be_approved(world: World) -> None:
    rollout = requested(world)
    world.request(RolloutAction.ABORT, NEW, reason="not during the sale")
    rounds(world, 2)
    assert not ended(world, rollout).speaks_against_version
    world.registry_client.approve(MODEL, NEW, "after the sale")
    world.approve(NEW)
    rounds(world, 2)
    found = [one for one in world.rollouts() if one.to_version == NEW]
    assert {one.live_share: one.state.final for one in found} == {True: True, False: False}


@pytest.mark.parametrize("action", list(StepAction))
def test_nobody_moves_the_step_of_a_version_that_is_not_approved(world: World, action: StepAction) -> None:
    rollout = requested(world)
    with pytest.raises(NotApproved, match="version 6 of churn is not approved"):
        act(world, rollout, action)


def test_an_approved_version_does_not_wait_for_a_share(world: World) -> None:
    rollout = requested(world)
    world.approve(2)
    rounds(world, 3)
    event = ended(world, rollout)
    assert (event.reason, event.speaks_against_version) == ("makes way for the rollout of version 2", False)
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})


def test_a_second_share_waits_for_the_first(world: World) -> None:
    requested(world)
    register(world.registry, 7, VersionStage.REGISTERED)
    world.deliver(a_request(world, 7, UUID(int=98)))
    rounds(world, 2)
    assert world.weights() == pytest.approx({1: 0.95, NEW: 0.05})
    finished(world, Verdict.INCONCLUSIVE)
    rounds(world, 4)
    assert world.weights() == pytest.approx({1: 0.95, 7: 0.05})


@pytest.mark.parametrize("rounds_before", range(4))
def test_killed_between_any_two_steps_the_share_is_held(world: World, rounds_before: int) -> None:
    register(world.registry, NEW, VersionStage.REGISTERED)
    world.registry_client.set_policy(MODEL, GatePolicy(inconclusive="live_share"))
    world.given_serving(1)
    world.healthy()
    world.deliver(a_request(world))
    rounds(world, rounds_before)
    world.restart()
    rounds(world, 6)
    held = the(world, NEW)
    assert (held.step, held.state) == (1, RolloutState.HOLDING)


def test_beside_a_vote_the_share_is_a_canary(world: World) -> None:
    world.set_policy(RolloutPolicy.model_validate({"strategy": "adaptive"}))
    rollout = requested(world)
    assert (rollout.adaptive, rollout.weight_percent) == (False, 5.0)
