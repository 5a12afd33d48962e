"""What people do with a step of an open canary, what it does next, and its guardrails."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from modelyard_contracts import RolloutAction, RolloutChanged
from modelyard_contracts import RolloutState as State
from modelyard_deployer.domain.actions import StepAction
from modelyard_deployer.domain.counts import Arm
from modelyard_deployer.domain.errors import NoOpenStep, StepPassed
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.usecases.requests import act_on_step
from modelyard_devstack.testing.access import role_keys
from modelyard_runtime.policy_time import EPOCH, ClockTime

from .conftest import World
from .test_api import build

HARM = Arm(answers=2_000, errors=400)


class StandingData(ClockTime):
    """A backtest whose data stand still while its clock goes on."""

    def __call__(self, moment: datetime) -> datetime:
        return EPOCH


def act(world: World, rollout: Rollout, action: StepAction, step: int = 1, reason: str = "I watch it") -> Rollout:
    return act_on_step(world.deps, rollout.id, action, step, "ada", reason)


def view(world: World, rollout: Rollout) -> dict[str, Any]:
    with TestClient(build(world, role_keys()), headers={"Authorization": "Bearer viewer@default"}) as http:
        found: dict[str, Any] = http.get(f"/v1/rollouts/{rollout.id}").json()
    return found


def rounds(world: World, count: int) -> None:
    for _ in range(count):
        world.settle(1.0)
        world.routers_apply()


def test_an_advance_goes_to_the_next_step_without_more_evidence(world: World) -> None:
    rollout = world.given_canary()
    world.healthy(answers=3)
    act(world, rollout, StepAction.ADVANCE, reason="the traffic is thin at night")
    rounds(world, 3)
    moved = world.rollout(rollout.id)
    assert (moved.step, moved.weight_percent, moved.advance_reason) == (2, 20.0, "")
    event = next(one for one in world.published(RolloutChanged) if one.rollout_id == rollout.id and one.step == 2)
    assert event.reason == "advanced by ada: the traffic is thin at night"


def test_an_advance_that_is_sent_twice_skips_no_step(world: World) -> None:
    rollout = world.given_canary()
    world.healthy(answers=3)
    act(world, rollout, StepAction.ADVANCE)
    act(world, rollout, StepAction.ADVANCE)
    rounds(world, 5)
    assert world.rollout(rollout.id).step == 2
    with pytest.raises(StepPassed, match="is at step 2, not 1"):
        act(world, rollout, StepAction.ADVANCE)


def test_a_held_step_neither_advances_nor_expires_until_it_is_resumed(world: World) -> None:
    rollout = world.given_canary()
    world.healthy()
    act(world, rollout, StepAction.HOLD)
    rounds(world, 5)
    world.settle(10_000.0)
    rounds(world, 2)
    held = world.rollout(rollout.id)
    assert (held.state, held.step, held.reason) == (State.HOLDING, 1, "held by ada: I watch it")
    act(world, rollout, StepAction.RESUME, reason="all is well")
    rounds(world, 3)
    assert world.rollout(rollout.id).step == 2
    reasons = [one.reason for one in world.published(RolloutChanged) if one.rollout_id == rollout.id]
    assert reasons.count("held by ada: I watch it") == reasons.count("resumed by ada: all is well") == 1


def test_a_hold_or_a_resume_that_is_sent_twice_is_recorded_once(world: World) -> None:
    rollout = world.given_canary()
    first = act(world, rollout, StepAction.HOLD)
    assert act(world, rollout, StepAction.HOLD, reason="again") == first
    resumed = act(world, rollout, StepAction.RESUME)
    assert act(world, rollout, StepAction.RESUME, reason="again") == resumed
    assert resumed.revision == first.revision + 1


def test_harm_aborts_a_held_step(world: World) -> None:
    rollout = world.given_canary()
    act(world, rollout, StepAction.HOLD)
    act(world, rollout, StepAction.ADVANCE)
    world.healthy(answers=2_000, new=HARM)
    rounds(world, 3)
    assert world.rollout(rollout.id).state is State.ABORTED


def test_a_held_step_that_is_advanced_is_not_held_any_more(world: World) -> None:
    rollout = world.given_canary()
    world.healthy()
    act(world, rollout, StepAction.HOLD)
    act(world, rollout, StepAction.ADVANCE)
    rounds(world, 3)
    moved = world.rollout(rollout.id)
    assert (moved.step >= 2, moved.held_reason) == (True, "")


@pytest.mark.parametrize("action", [StepAction.ADVANCE, StepAction.HOLD])
def test_actions_survive_a_restart(world: World, action: StepAction) -> None:
    rollout = world.given_canary()
    world.healthy(answers=3)
    act(world, rollout, action)
    world.restart()
    rounds(world, 4)
    found = world.rollout(rollout.id)
    expected = (2, "") if action is StepAction.ADVANCE else (1, "held by ada: I watch it")
    assert (found.step, found.held_reason) == expected


def test_a_rollout_without_an_open_step_takes_no_action(world: World) -> None:
    world.given_serving(1)
    pending = world.request(RolloutAction.START, 2)
    with pytest.raises(NoOpenStep, match="is pending"):
        act(world, pending, StepAction.HOLD)
    world.request(RolloutAction.ABORT, reason="enough")
    world.settle()
    with pytest.raises(NoOpenStep, match="is aborted"):
        act(world, pending, StepAction.ADVANCE)


def test_the_next_step_names_what_is_missing(world: World) -> None:
    rollout = world.given_canary()
    policy = rollout.policy
    world.healthy(answers=30)
    rounds(world, 2)
    found = view(world, rollout)["next"]
    assert (found["kind"], found["step"], found["steps"]) == ("advance", 1, 4)
    assert (found["from_percent"], found["to_percent"]) == (5.0, 20.0)
    assert (found["predictions_seen"], found["predictions_left"]) == (30, policy.min_samples - 30)
    assert 0 <= found["seconds_left"] <= policy.min_step_s
    assert 0 < found["hold_expires_in_s"] < policy.max_hold_s
    world.deps = replace(world.deps, policy_time=StandingData())
    replayed = view(world, rollout)["next"]
    assert (replayed["seconds_left"], replayed["hold_expires_in_s"]) == (policy.min_step_s, policy.max_hold_s)
    act(world, rollout, StepAction.HOLD)
    held = view(world, rollout)
    assert (held["next"]["held"], held["next"]["hold_expires_in_s"]) == (True, None)
    assert held["held_reason"] == "held by ada: I watch it"


def test_predictions_of_the_step_before_are_not_counted_for_the_next_one(world: World) -> None:
    rollout = world.given_canary()
    world.healthy()
    while world.rollout(rollout.id).step == 1:
        world.settle(1.0)
    found = view(world, rollout)["next"]
    assert (found["kind"], found["predictions_seen"]) == ("routers", 0)


def test_guardrails_have_both_values_the_interval_and_the_verdict(world: World) -> None:
    rollout = world.given_canary()
    world.healthy(answers=1_000)
    world.settle(1.0)
    world.settle(1.0)
    errors, wrong = view(world, rollout)["guardrails"]
    assert (errors["name"], errors["new"], errors["old"], errors["rows"]) == ("error_rate", 0.01, 0.01, 1_000)
    assert errors["low"] < errors["difference"] == 0.0 < errors["high"]
    assert errors["high"] == pytest.approx(-errors["low"])
    assert (errors["verdict"], wrong["name"], wrong["new"]) == ("passed", "wrong_rate", 0.2)
    assert errors["margin"] == rollout.policy.error_rate_margin


def test_a_guardrail_with_few_rows_gives_no_interval(world: World) -> None:
    rollout = world.given_canary()
    world.healthy(answers=10)
    rounds(world, 2)
    errors, _ = view(world, rollout)["guardrails"]
    assert (errors["verdict"], errors["difference"], errors["low"], errors["high"]) == (
        "too_few_rows",
        None,
        None,
        None,
    )


def test_a_guardrail_that_is_worse_by_chance_is_named_as_what_blocks(world: World) -> None:
    rollout = world.given_canary()
    world.healthy(answers=200, new=Arm(answers=200, errors=6))
    rounds(world, 4)
    found = view(world, rollout)
    assert found["next"]["blocked_by"] == ["error_rate"]
    assert found["guardrails"][0]["verdict"] == "worse"


def test_unfinished_rollouts_are_listed_alone(world: World) -> None:
    rollout = world.given_canary()
    with TestClient(build(world, role_keys()), headers={"Authorization": "Bearer viewer@default"}) as http:
        found = http.get("/v1/rollouts", params={"open": True}).json()["items"]
        every = http.get("/v1/rollouts").json()["items"]
    assert [one["rollout_id"] for one in found] == [str(rollout.id)]
    assert len(every) == 2


def test_an_action_over_http_needs_a_release_manager_a_reason_and_the_step(world: World) -> None:
    rollout = world.given_canary()
    path = f"/v1/rollouts/{rollout.id}/hold"
    body = {"step": 1, "reason": "wait"}
    with TestClient(build(world, role_keys())) as http:

        def answer(key: str, body: dict[str, Any], path: str = path) -> tuple[int, str | None]:
            found = http.post(path, json=body, headers={"Authorization": f"Bearer {key}@default"})
            return found.status_code, found.json().get("field")

        assert answer("developer", body)[0] == 403
        assert answer("release-manager", {"step": 1}) == (422, "reason")
        assert answer("release-manager", {**body, "step": 0}) == (422, "step")
        assert answer("release-manager", {**body, "step": 3}) == (409, "step")
        assert answer("release-manager", body, path.replace("hold", "dance")) == (422, "action")
        assert answer("release-manager", body) == (200, None)
    assert world.rollout(rollout.id).held_reason == "held by release-manager@default: wait"
