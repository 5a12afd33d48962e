"""Rollouts: events and time in, weights and events out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from modelyard_contracts import (
    AlertRaised,
    ResourceChange,
    RolloutAction,
    RolloutChanged,
    RolloutStrategy,
    RoutePublished,
    Severity,
    VersionStage,
)
from modelyard_contracts import RolloutState as State
from modelyard_contracts.manifest import Permissions
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.counts import Arm, Stratum
from modelyard_runtime.errors import Conflict, Invalid
from modelyard_runtime.policy_time import ReplayTime

from .conftest import MODEL, World, a_manifest, a_version, approved, model_file, register, targets_of


def states(world: World) -> list[tuple[State, float]]:
    return [(event.state, event.weight_percent) for event in world.published(RolloutChanged)]


def test_the_first_version_of_a_route_gets_all_traffic_at_once(world: World) -> None:
    event = world.approve(1)
    world.settle()
    assert world.weights() == {1: 1.0}
    world.routers_apply()
    world.settle()

    assert states(world) == [(State.PREPARING, 0), (State.SHIFTING, 100), (State.PROMOTED, 100)]
    events = world.published(RolloutChanged)
    assert {one.correlation_id for one in events} == {event.correlation_id}
    assert [one.revision for one in events] == [1, 2, 3]
    [table] = world.published(RoutePublished)
    assert (table.route, table.sequence, targets_of(table)[0].variant) == (MODEL, 1, "stable")
    assert list(table.signatures) == [a_version(1).file.manifest.feature_schema_id]


def test_nothing_is_promoted_that_no_router_has_applied(world: World) -> None:
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    for _ in range(5):
        world.settle(30.0)
        waiting = world.rollout(rollout.id)
        assert (waiting.state, waiting.reason) == (State.SHIFTING, "waiting for a router to apply the route")
    world.settle(600.0)
    assert world.rollout(rollout.id).state is State.ABORTED
    assert world.rollout(rollout.id).reason == "no router applied the route within 600 s"
    assert world.serving().champion is None
    assert world.weights() == {}


def test_a_first_version_is_promoted_once_a_router_has_applied_it(world: World) -> None:
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    world.routers_apply()
    world.settle()
    promoted = world.rollout(rollout.id)
    assert (promoted.state, promoted.reason) == (State.PROMOTED, "version 1 serves on 1 router(s)")


def test_a_first_version_that_the_only_router_refuses_is_not_promoted(world: World) -> None:
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    world.routers_apply(accepted=False, reason="column name is not usable")
    world.settle()
    refused = world.rollout(rollout.id)
    assert (refused.state, refused.reason) == (
        State.ABORTED,
        "refused by a router: router-1: column name is not usable",
    )
    assert world.serving().champion is None


def test_a_step_counts_only_after_every_live_router_has_applied_it(world: World) -> None:
    world.given_serving(1)
    world.routers_apply("router-1", "router-2")
    rollout = world.request(RolloutAction.START, 2)
    world.healthy()
    world.settle()
    world.routers_apply("router-1")
    world.settle(5.0)
    waiting = world.rollout(rollout.id)
    assert (waiting.step, waiting.reason) == (1, "waiting for router-2 to apply the route")
    world.routers_apply("router-2")
    world.settle(1.0)
    assert world.rollout(rollout.id).step == 1
    for _ in range(3):
        world.settle(1.0)
    assert world.rollout(rollout.id).step == 2


def test_a_silent_router_is_not_waited_for_longer_than_the_limit(world: World) -> None:
    world.given_serving(1)
    world.routers_apply("router-1", "stopped")
    rollout = world.request(RolloutAction.START, 2)
    world.healthy()
    world.settle()
    world.routers_apply("router-1")
    for _ in range(15):
        world.settle(1.0)
    assert world.rollout(rollout.id).step == 2


def test_an_answer_about_a_table_that_was_never_published_is_ignored(world: World) -> None:
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    world.routers_apply(sequence=2**53)
    world.settle()
    assert world.rollout(rollout.id).state is State.SHIFTING


@pytest.mark.parametrize("ahead", [1, 40, 10**9])
def test_a_table_of_somebody_else_is_replaced_by_the_newest_one_and_rollouts_go_on(world: World, ahead: int) -> None:
    rollout = world.request(RolloutAction.START, 1)
    world.settle()
    honest = world.published(RoutePublished)[-1]
    world.routers_apply(sequence=honest.sequence + ahead)

    again = world.published(RoutePublished)[-1]
    assert (again.sequence, again.plan) == (honest.sequence + ahead + 1, honest.plan)
    assert "never published" in again.reason
    world.routers_apply()
    world.settle()
    assert world.rollout(rollout.id).state is State.PROMOTED


def test_a_healthy_canary_goes_through_its_steps_and_is_promoted(world: World) -> None:
    rollout = world.given_canary()
    world.healthy()
    seen = [world.weights()]
    for _ in range(12):
        world.settle(1.0)
        world.routers_apply()
        if world.weights() != seen[-1]:
            seen.append(world.weights())

    assert [weights.get(2) for weights in seen] == [0.05, 0.2, 0.5, 1.0]
    assert world.rollout(rollout.id).state is State.PROMOTED
    assert (world.serving().champion, world.serving().previous) == (2, 1)
    assert [target.variant for target in world.targets()] == ["stable"]


def test_salt_stays_and_sequence_rises_by_one_with_every_table(world: World) -> None:
    world.given_canary()
    world.healthy()
    for _ in range(12):
        world.settle(1.0)
        world.routers_apply()

    tables = world.published(RoutePublished)
    assert [table.sequence for table in tables] == list(range(1, len(tables) + 1))
    assert len({table.salt for table in tables}) == 1
    assert all(sum(target.weight for target in targets_of(table)) == pytest.approx(1.0) for table in tables)


def test_a_redelivered_approval_starts_one_rollout(world: World) -> None:
    event = world.approve(1)
    world.deliver(event)
    world.settle()
    world.deliver(event)
    world.settle()
    assert len(world.rollouts()) == 1


def test_an_approval_that_comes_late_does_not_bring_an_older_version_back(world: World) -> None:
    world.given_serving(3)
    world.approve(2)
    world.settle()
    assert [rollout.to_version for rollout in world.rollouts()] == [3]


def test_a_replaced_version_that_is_approved_again_stays_where_it_is(world: World) -> None:
    world.given_serving(1)
    world.approve(2, previous_stage=VersionStage.LIVE)
    assert [rollout.to_version for rollout in world.rollouts()] == [1]


def test_the_newest_of_several_pending_versions_is_next(world: World) -> None:
    world.given_canary(2)
    world.approve(3)
    world.approve(4)
    world.settle()
    assert [(r.to_version, r.state) for r in world.rollouts()][2:] == [(3, State.ABORTED), (4, State.PENDING)]
    published_before = len(world.published(RolloutChanged))

    world.request(RolloutAction.ABORT, reason="enough")
    world.settle()

    assert world.rollouts()[-1].state is State.SHIFTING
    assert 3 not in [event.to_version for event in world.published(RolloutChanged)[published_before:]]


def test_too_many_errors_abort_at_once_and_the_replica_drains_before_it_ends(world: World) -> None:
    rollout = world.given_canary()
    world.monitor.stratum = Stratum(new=Arm(answers=60, errors=20), old=Arm(answers=1000, errors=5))
    world.settle(1.0)

    assert world.rollout(rollout.id).state is State.ABORTED
    assert "20 errors in 60 predictions" in world.rollout(rollout.id).reason
    assert world.weights() == {1: 1.0}
    assert world.processes.serving() == {1, 2}
    world.settle(4.0)
    assert world.processes.serving() == {1, 2}
    world.settle(2.0)
    assert world.processes.serving() == {1}


def test_without_the_monitor_a_canary_holds_and_in_the_end_gives_up(world: World) -> None:
    rollout = world.given_canary()
    for _ in range(5):
        world.settle(1.0)
    held = world.rollout(rollout.id)
    assert (held.state, held.weight_percent) == (State.HOLDING, 5)
    assert "monitor" in held.reason

    for _ in range(2):
        world.settle(600.0)
    assert world.rollout(rollout.id).state is State.ABORTED
    assert world.weights() == {1: 1.0}


def test_a_hold_may_end_in_promotion_if_the_policy_says_so(world: World) -> None:
    world.set_policy(RolloutPolicy(max_hold_s=10, on_hold_expired="promote"))
    rollout = world.given_canary()
    for _ in range(15):
        world.settle(1.0)
        world.routers_apply()
    assert world.rollout(rollout.id).state is State.PROMOTED


def test_in_a_backtest_a_hold_expires_in_the_time_of_the_data(world: World, tmp_path: Path) -> None:
    world.set_policy(RolloutPolicy(max_hold_s=7 * 86_400, on_hold_expired="promote"))
    rollout = world.given_canary()
    file, began = tmp_path / "replay", world.clock().timestamp()
    world.reconciler = replace(world.reconciler, policy_time=ReplayTime(file))
    file.write_text(f"{began} 0\n")
    for _ in range(15):
        world.settle(60.0)
        world.routers_apply()
    assert world.rollout(rollout.id).step == 1, "the data have not moved"
    with file.open("a") as more:
        more.write(f"{world.clock().timestamp()} {8 * 86_400}\n")
    for _ in range(3):
        world.settle(1.0)
        world.routers_apply()
    assert world.rollout(rollout.id).state is State.PROMOTED


def test_a_version_without_a_ready_replica_is_never_promoted_by_a_hold_that_expired(world: World) -> None:
    world.set_policy(RolloutPolicy(min_samples=100, max_hold_s=30.0, on_hold_expired="promote"))
    rollout = world.given_canary()
    world.processes.kill(2)
    world.processes.mute = {2}
    world.settle(40.0)
    world.routers_apply()
    world.settle(2.0)
    assert (world.rollout(rollout.id).step, world.serving().champion) == (1, 1)
    assert world.weights() == {1: 1.0}
    world.processes.mute = set()
    world.settle(2.0)
    world.settle(2.0)
    world.settle(2.0)
    assert world.weights() == {2: 1.0}


def test_a_version_that_keeps_dying_while_routers_are_waited_for_does_not_serve(world: World) -> None:
    world.given_serving(1)
    world.routers_apply("router-1", "router-2")
    rollout = world.request(RolloutAction.START, 2, strategy=RolloutStrategy.FULL)
    world.settle()
    assert world.weights() == {2: 1.0}
    for _ in range(3):
        world.processes.kill(2)
        world.settle(0.1)
        world.settle(2.1)
    assert world.rollout(rollout.id).state is State.ABORTED
    assert world.weights() == {1: 1.0}


def test_too_few_answers_hold_until_more_have_come(world: World) -> None:
    rollout = world.given_canary()
    world.healthy(answers=30)
    for _ in range(4):
        world.settle(1.0)
    assert world.rollout(rollout.id).state is State.HOLDING
    assert "30 of 100 predictions" in world.rollout(rollout.id).reason
    world.healthy(answers=120)
    for _ in range(2):
        world.settle(1.0)
    assert world.rollout(rollout.id).weight_percent == 20


def test_a_version_that_does_not_start_fails_without_ever_having_had_traffic(world: World) -> None:
    world.given_serving(1)
    world.processes.unstartable = {2}
    rollout = world.request(RolloutAction.START, 2)
    for _ in range(10):
        world.settle(1.0)
    failed = world.rollout(rollout.id)
    assert failed.state is State.FAILED
    assert "cannot load model.bin" in failed.reason
    assert all(target.version == 1 for table in world.published(RoutePublished) for target in targets_of(table))


def test_wrong_bytes_fail_the_rollout(world: World) -> None:
    world.given_serving(1)
    world.corrupt_files(2)
    rollout = world.request(RolloutAction.START, 2)
    for _ in range(10):
        world.settle(2.0)
    assert world.rollout(rollout.id).state is State.FAILED
    assert "wrong bytes" in world.rollout(rollout.id).reason


def test_an_unavailable_registry_delays_a_rollout_and_does_not_end_it(world: World) -> None:
    with world.registry_unavailable():
        world.approve(1)
        for _ in range(5):
            world.settle(10.0)
        assert world.rollouts()[0].state is State.PENDING
    world.settle(1.0)
    assert world.weights() == {1: 1.0}


@pytest.mark.parametrize("flavour", ["container", "external-api"])
def test_a_model_that_is_not_in_the_files_is_not_served_and_the_reason_says_why(world: World, flavour: str) -> None:
    manifest = a_manifest(MODEL, 6).model_copy(
        update={"flavour": flavour, "permissions": Permissions(code=True, network=True, reason="reviewed")}
    )
    world.registry.given_version(manifest, {"model.bin": model_file(MODEL, 6)}, VersionStage.APPROVED)
    rollout = world.request(RolloutAction.START, 6)
    world.settle()
    assert world.rollout(rollout.id).state is State.FAILED
    assert "version 6 cannot be served: it is a" in world.rollout(rollout.id).reason


def test_a_version_without_approval_gets_no_traffic_and_no_event(world: World) -> None:
    register(world.registry, 6, VersionStage.EVALUATED)
    rollout = world.request(RolloutAction.START, 6)
    world.settle()
    assert world.rollout(rollout.id).state is State.FAILED
    assert "approve it first" in world.rollout(rollout.id).reason
    assert world.published() == []
    world.registry_client.approve(MODEL, 6, "reviewed")
    world.approve(6)
    world.settle()
    assert world.weights() == {6: 1.0}


def test_a_canary_whose_replica_dies_loses_its_share_until_it_is_back(world: World) -> None:
    world.given_canary()
    before = {target.version: target.urls for target in world.targets()}
    world.processes.kill(2)
    world.settle(0.1)
    assert world.weights() == {1: 1.0}
    world.settle(1.0)
    world.settle(0.1)
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})
    assert {t.version: t.urls for t in world.targets()}[2] != before[2]


def test_a_dead_stable_replica_comes_back_under_a_new_address(world: World) -> None:
    world.given_serving(1)
    before, sequence = world.targets(), world.route().sequence
    world.processes.kill(1)
    world.settle(0.1)
    assert world.targets() == before
    world.settle(1.0)
    world.settle(0.1)
    assert world.targets()[0].urls != before[0].urls
    assert world.route().sequence == sequence + 1


def test_a_critical_alert_on_the_canary_aborts_it_and_one_on_the_stable_version_does_not(world: World) -> None:
    rollout = world.given_canary()
    world.deliver(alert(world, version=1))
    world.deliver(alert(world, version=2, severity=Severity.WARNING))
    world.settle(0.1)
    assert world.rollout(rollout.id).state is State.SHIFTING
    world.deliver(alert(world, version=2))
    world.settle(0.1)
    assert world.rollout(rollout.id).state is State.ABORTED
    assert "latency_high" in world.rollout(rollout.id).reason


def test_a_version_rejected_in_the_registry_loses_its_canary(world: World) -> None:
    rollout = world.given_canary()
    world.approve(2, stage=VersionStage.REJECTED, previous_stage=VersionStage.APPROVED, actor="ben")
    world.settle(0.1)
    assert world.rollout(rollout.id).state is State.ABORTED
    assert "ben" in world.rollout(rollout.id).reason


def test_a_router_that_refuses_a_table_stops_the_canary(world: World) -> None:
    rollout = world.given_canary()
    world.routers_apply("router-2", accepted=False, reason="unknown feature kind")
    world.settle(0.1)
    assert world.rollout(rollout.id).state is State.ABORTED
    assert "router-2: unknown feature kind" in world.rollout(rollout.id).reason


def _by_a_person(world: World) -> None:
    world.request(RolloutAction.ABORT, reason="not now")


def _by_a_roll_back(world: World) -> None:
    world.request(RolloutAction.ROLL_BACK, reason="not now")


def _by_an_alert(world: World) -> None:
    world.deliver(alert(world, version=2))


def _by_errors(world: World) -> None:
    world.healthy(new=Arm(answers=60, errors=55))


def _by_a_router(world: World) -> None:
    world.routers_apply(accepted=False, reason="unknown feature schema")


def _by_time(world: World) -> None:
    world.settle(RolloutPolicy().max_hold_s)


@pytest.mark.parametrize(
    ("end", "against"),
    [
        (_by_a_person, 0.0),
        (_by_a_roll_back, 0.0),
        (_by_a_router, 0.0),
        (_by_time, 0.0),
        (_by_an_alert, 1.0),
        (_by_errors, 1.0),
    ],
)
def test_an_aborted_rollout_records_whether_that_is_evidence_against_its_version(
    world: World, end: Callable[[World], None], against: float
) -> None:
    rollout = world.given_canary()
    end(world)
    world.settle(1.5)
    world.settle(1.5)
    event = world.published(RolloutChanged)[-1]
    assert (world.rollout(rollout.id).state, event.state) == (State.ABORTED, State.ABORTED)
    assert event.evidence["against_version"] == against
    assert event.speaks_against_version is bool(against)


def test_an_abort_without_a_rollout_is_an_error(world: World) -> None:
    with pytest.raises(Conflict, match="no rollout"):
        world.request(RolloutAction.ABORT)
    with pytest.raises(Invalid, match="version"):
        world.request(RolloutAction.START)


def test_the_same_request_twice_is_one_rollout(world: World) -> None:
    request_id = uuid4()
    first = world.request(RolloutAction.START, 1, id=request_id)
    assert world.request(RolloutAction.START, 1, id=request_id).id == first.id
    assert len(world.rollouts()) == 1


def alert(world: World, version: int, severity: Severity = Severity.CRITICAL) -> AlertRaised:
    return AlertRaised(
        event_id=uuid4(),
        occurred_at=world.clock(),
        correlation_id=uuid4(),
        model=MODEL,
        model_version=version,
        model_digest=a_version(version).digest,
        variant="canary",
        alert="latency_high",
        subject="latency_ms",
        severity=severity,
        reason="p95 is 900 ms",
        value=900,
        threshold=200,
        rows=500,
        window_start=world.clock(),
        window_end=world.clock(),
    )


def test_an_approval_event_of_another_kind_does_nothing(world: World) -> None:
    world.deliver(approved(1, world.clock(), stage=VersionStage.EVALUATED))
    assert world.rollouts() == []


def test_replicas_are_prepared_for_while_a_new_version_is_evaluated(world: World) -> None:
    world.approve(1, change=ResourceChange.VERSION_REGISTERED, stage=VersionStage.REGISTERED, previous_stage=None)
    assert world.processes.warmed == 1
    assert world.rollouts() == []
    world.approve(2)
    assert world.processes.warmed == 1
