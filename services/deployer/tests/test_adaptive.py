"""Rollouts of an adaptive model: versions join a vote, leave it, and take the lead."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from modelyard_contracts import (
    ResourceChange,
    ResourceChanged,
    RolloutAction,
    RolloutChanged,
    RolloutStrategy,
    RoutePublished,
    Verdict,
    VersionStage,
)
from modelyard_contracts import RolloutState as State
from modelyard_contracts.documents import read
from modelyard_contracts.manifest import LEARNER_FACT, TrainingLineage
from modelyard_contracts.policies import AdaptivePolicy, RolloutPolicy
from modelyard_contracts.routes import Ensemble, RoutePlan, Split, VersionLeaf
from modelyard_deployer.domain.harm import Calls
from modelyard_deployer.domain.hedge import Batch
from modelyard_deployer.domain.votes import Vote

from .conftest import MODEL, World, a_manifest, model_file


def adaptive(**more: Any) -> RolloutPolicy:
    return RolloutPolicy(strategy="adaptive", adaptive=AdaptivePolicy(**more))


def votes(world: World) -> dict[int, float]:
    """Members and weights as published, in their order; a single version has the weight 1."""
    with world.store.read() as records:
        published = records.routes.published(world.route().name)
    assert published is not None
    root = read(RoutePlan, published.plan).root
    if isinstance(root, VersionLeaf):
        return {root.version: 1.0}
    if isinstance(root, Ensemble):
        found = [(member.node, member.weight) for member in root.members]
    else:
        assert isinstance(root, Split)
        found = [(arm.node, arm.weight) for arm in root.arms]
    return {node.version: weight for node, weight in found if isinstance(node, VersionLeaf)}


def vote(world: World) -> Vote:
    with world.store.read() as records:
        found = records.votes.get(MODEL)
    assert found is not None
    return found


def reason(world: World) -> str:
    return str(world.published(RoutePublished)[-1].reason)


def left(world: World) -> dict[int, str]:
    return {one.version: one.reason for one in vote(world).departed}


def joins(world: World, *versions: int) -> None:
    """Each version is approved, joins the vote, and leads it."""
    for version in versions:
        world.approve(version)
        for _ in range(3):
            world.settle(0.01)
            world.routers_apply()
        world.settle(0.01)
        assert world.serving().champion == version


def given_vote(world: World, *versions: int, **more: Any) -> None:
    """Version 1 served first, then the others joined."""
    world.set_policy(adaptive(**more))
    world.given_serving(1)
    joins(world, *(versions or (2, 3)))


def labels(rows: int, losses: dict[int, float], **more: Any) -> Batch:
    return Batch(rows, losses, vote_loss=min(losses.values()), **more)


def follows(world: World, *batches: Batch) -> None:
    """The first update finds the position; the labels after it count."""
    world.updates.update(MODEL)
    world.monitor.label(*batches)
    world.updates.update(MODEL)
    world.settle(0.01)
    world.routers_apply()


def policy_changes(world: World, policy: RolloutPolicy) -> None:
    world.set_policy(policy)
    world.deliver(
        ResourceChanged(
            event_id=uuid4(),
            occurred_at=world.clock.advance(0.001),
            correlation_id=uuid4(),
            model=MODEL,
            revision=99,
            change=ResourceChange.POLICY_CHANGED,
            policy="rollout",
            actor="anna",
        )
    )
    world.updates.update(MODEL)
    for _ in range(3):
        world.settle(0.01)
        world.routers_apply()
    world.settle(0.01)


def test_the_first_version_of_an_adaptive_model_serves_alone(world: World) -> None:
    world.set_policy(adaptive())
    world.given_serving(1)
    assert votes(world) == {1: 1.0}
    assert [event.adaptive for event in world.published(RolloutChanged)] == [False] * 3


def test_a_version_joins_with_its_entry_weight_and_leads_at_once(world: World) -> None:
    given_vote(world, 2)
    assert votes(world) == {2: 0.269, 1: 0.731}
    rollout = world.rollouts()[-1]
    assert (rollout.state, rollout.weight_percent) == (State.PROMOTED, 26.9)
    assert rollout.reason == "version 2 votes on 1 router(s)"
    events = [event for event in world.published(RolloutChanged) if event.to_version == 2]
    assert [event.state for event in events] == [State.PREPARING, State.SHIFTING, State.PROMOTED]
    assert {(event.adaptive, event.strategy) for event in events} == {(True, RolloutStrategy.FULL)}
    assert events[1].weight_percent == 26.9


def test_members_answer_together_the_lead_first_and_stay_ready(world: World) -> None:
    given_vote(world, 2, 3)
    assert votes(world) == {3: 0.212, 1: 0.576, 2: 0.212}
    assert world.processes.serving() == {1, 2, 3}
    world.settle(7_200.0)
    assert world.processes.serving() == {1, 2, 3}


def test_a_vote_is_closed_before_the_time_of_the_answer_is_up(world: World) -> None:
    given_vote(world, 2)
    with world.store.read() as records:
        published = records.routes.published(world.route().name)
    assert published is not None
    root = read(RoutePlan, published.plan).root
    assert isinstance(root, Ensemble)
    assert (root.deadline_ms, published.timeout_ms, root.combiner) == (1_600, 2_000, "soft")


def test_versions_approved_while_one_joins_join_after_it(world: World) -> None:
    world.set_policy(adaptive())
    world.given_serving(1)
    for version in (2, 3, 4):
        world.approve(version)
    for _ in range(12):
        world.settle(0.01)
        world.routers_apply()
    assert set(votes(world)) == {1, 2, 3, 4}
    assert [rollout.state for rollout in world.rollouts()] == [State.PROMOTED] * 4


def test_a_version_that_is_approved_after_a_newer_one_joins_as_well(world: World) -> None:
    given_vote(world, 3)
    joins(world, 2)
    assert list(votes(world)) == [2, 1, 3]


def test_a_member_that_was_replaced_as_champion_does_not_join_again(world: World) -> None:
    given_vote(world, 2, 3)
    before = len(world.rollouts())
    world.approve(2, previous_stage=VersionStage.LIVE, revision=50)
    world.approve(2, previous_stage=VersionStage.REJECTED, revision=51)
    world.settle(0.01)
    assert len(world.rollouts()) == before


def test_the_member_of_least_weight_leaves_when_there_are_too_many(world: World) -> None:
    given_vote(world, 2, 3, members=3)
    follows(world, labels(20, {1: 10.0, 2: 6.0, 3: 2.0}))
    joins(world, 4)
    assert set(votes(world)) == {1, 3, 4}
    assert left(world) == {2: "3 members at most; it had the least weight, 0.202"}
    world.settle(10.0)
    assert world.processes.serving() == {1, 3, 4}


def test_without_keep_first_the_first_version_may_leave(world: World) -> None:
    given_vote(world, 2, 3, members=3, keep_first=False)
    follows(world, labels(20, {1: 18.0, 2: 6.0, 3: 2.0}))
    joins(world, 4)
    assert set(votes(world)) == {2, 3, 4}


def test_a_version_that_no_router_applies_leaves_again(world: World) -> None:
    given_vote(world, 2)
    world.approve(3)
    world.settle(0.01)
    assert set(votes(world)) == {1, 2, 3}
    world.request(RolloutAction.ABORT, reason="not yet")
    world.settle(0.01)
    assert votes(world) == {2: 0.269, 1: 0.731}
    assert (world.serving().champion, left(world)) == (2, {3: "aborted by anna: not yet"})


def test_a_refused_vote_ends_the_rollout(world: World) -> None:
    given_vote(world, 2)
    world.approve(3)
    world.settle(0.01)
    world.routers_apply(accepted=False, reason="members need the same classes")
    world.settle(0.01)
    assert world.rollouts()[-1].state is State.ABORTED
    assert set(votes(world)) == {1, 2}


def test_a_roll_back_takes_the_newest_member_out(world: World) -> None:
    given_vote(world, 2, 3)
    rolled = world.request(RolloutAction.ROLL_BACK, reason="complaints")
    world.settle(0.01)
    assert list(votes(world)) == [2, 1]
    world.routers_apply()
    world.settle(0.01)
    assert world.rollout(rolled.id).state is State.ROLLED_BACK
    assert (world.serving().champion, world.serving().history) == (2, (1,))
    assert left(world) == {3: "rolled back to version 2: complaints"}
    assert world.published(RolloutChanged)[-1].adaptive


def test_a_roll_back_to_the_first_version_ends_the_vote_of_newer_ones(world: World) -> None:
    given_vote(world, 2, 3)
    world.request(RolloutAction.ROLL_BACK, 1, reason="complaints")
    world.settle(0.01)
    world.routers_apply()
    world.settle(0.01)
    assert votes(world) == {1: 1.0}
    assert set(left(world)) == {2, 3}
    joins(world, 4)
    assert set(votes(world)) == {1, 4}


def test_a_roll_back_during_a_join_only_ends_it(world: World) -> None:
    given_vote(world, 2)
    world.approve(3)
    world.settle(0.01)
    world.request(RolloutAction.ROLL_BACK, reason="complaints")
    world.settle(0.01)
    assert list(votes(world)) == [2, 1]
    assert world.serving().champion == 2


@pytest.mark.parametrize("stage", [VersionStage.REJECTED, VersionStage.RETIRED])
def test_a_member_that_is_withdrawn_in_the_registry_leaves(world: World, stage: VersionStage) -> None:
    given_vote(world, 2, 3)
    world.approve(2, stage=stage, previous_stage=VersionStage.APPROVED, revision=50)
    world.settle(0.01)
    assert list(votes(world)) == [3, 1]
    assert left(world) == {2: f"{stage} in the registry"}
    assert reason(world) == f"version 2 left the vote: {stage} in the registry"


def test_a_lead_that_is_withdrawn_does_not_answer_any_more_and_is_rolled_back(world: World) -> None:
    given_vote(world, 2, 3)
    world.approve(3, stage=VersionStage.REJECTED, previous_stage=VersionStage.LIVE, revision=50)
    world.settle(0.01)
    assert 3 not in votes(world)
    world.routers_apply()
    world.settle(0.01)
    assert list(votes(world)) == [2, 1]
    last = world.rollouts()[-1]
    assert (last.kind, last.state, last.requested_by) == ("roll_back", State.ROLLED_BACK, "deployer")
    assert last.asked_reason == "version 3 does harm: rejected in the registry"


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are of a flavour that does not share processes."""
    monkeypatch.setattr("modelyard_deployer.domain.sharing.shares_process", lambda manifest: False)


def test_a_member_whose_replica_died_is_not_asked_until_it_is_back(world: World, apart: None) -> None:
    given_vote(world, 2, 3)
    world.processes.unstartable.add(1)
    world.processes.kill(1)
    world.settle(0.01)
    assert list(votes(world)) == [3, 2]
    world.processes.unstartable.clear()
    world.settle(2.0)
    world.settle(2.0)
    assert set(votes(world)) == {1, 2, 3}


def test_a_member_that_keeps_exiting_leaves(world: World, apart: None) -> None:
    given_vote(world, 2, 3)
    world.processes.unstartable.add(1)
    world.processes.kill(1)
    for _ in range(8):
        world.settle(10.0)
    assert list(votes(world)) == [3, 2]
    assert left(world)[1].startswith("replicas keep exiting:")


def test_a_lead_whose_replica_died_leaves_the_answer_to_the_others(world: World, apart: None) -> None:
    given_vote(world, 2, 3)
    world.processes.unstartable.add(3)
    world.processes.kill(3)
    world.settle(0.01)
    assert list(votes(world)) == [1, 2]


def test_a_member_whose_calls_fail_leaves_with_the_reason(world: World) -> None:
    given_vote(world, 2, 3)
    world.monitor.calls = [Calls(1, 100, 40, 5.0), Calls(2, 100, 0, 5.0), Calls(3, 100, 1, 5.0)]
    world.updates.update(MODEL)
    world.settle(0.01)
    assert list(votes(world)) == [3, 2]
    assert left(world) == {1: "40 of 100 calls failed; the limit is 10.0%"}
    assert reason(world) == "version 1 left the vote: 40 of 100 calls failed; the limit is 10.0%"


def test_calls_before_a_member_joined_do_not_count(world: World) -> None:
    given_vote(world, 2, 3)
    joined = max(member.since for member in vote(world).members)
    world.clock.advance(5.0)
    world.updates.update(MODEL)
    assert world.monitor.asked[-1] == joined
    world.clock.advance(100.0)
    world.updates.update(MODEL)
    assert world.monitor.asked[-1] == world.clock() - timedelta(seconds=60)


def test_a_slow_member_leaves(world: World) -> None:
    given_vote(world, 2, 3)
    world.monitor.calls = [Calls(1, 100, 0, 900.0), Calls(2, 100, 0, 5.0), Calls(3, 100, 0, 6.0)]
    world.updates.update(MODEL)
    world.settle(0.01)
    assert list(votes(world)) == [3, 2]


def test_a_lead_whose_calls_fail_is_rolled_back(world: World) -> None:
    given_vote(world, 2, 3)
    world.monitor.calls = [Calls(1, 100, 0, 5.0), Calls(2, 100, 0, 5.0), Calls(3, 100, 90, 5.0)]
    world.updates.update(MODEL)
    world.settle(0.01)
    assert 3 not in votes(world)
    world.routers_apply()
    world.settle(0.01)
    assert (world.serving().champion, list(votes(world))) == (2, [2, 1])


def test_the_lead_answers_alone_while_all_members_fail(world: World) -> None:
    given_vote(world, 2, 3)
    world.monitor.calls = [Calls(n, 100, 60 + n, 5.0) for n in (1, 2, 3)]
    world.updates.update(MODEL)
    world.settle(0.01)
    assert votes(world) == {3: 1.0}
    assert reason(world) == "all members fail: of version 3 63 of 100 calls"
    world.monitor.calls = [Calls(3, 100, 0, 5.0)]
    world.updates.update(MODEL)
    world.settle(0.01)
    assert set(votes(world)) == {1, 2, 3}
    assert not left(world)


def test_weights_follow_the_labels(world: World) -> None:
    given_vote(world, 2)
    before = world.route().sequence
    follows(world, labels(20, {1: 8.0, 2: 2.0}))
    # by hand: 0.2689 e^-0.3 / (0.2689 e^-0.3 + 0.7311 e^-1.2) = 0.47497; 0.999^20 of it, and half of the rest
    assert votes(world) == {2: 0.476, 1: 0.524}
    assert world.route().sequence == before + 1
    assert reason(world).startswith("weights after 20 labels: 1: 0.524, 2: 0.476")


def test_each_update_reports_the_weights(world: World) -> None:
    given_vote(world, 2)
    seen: list[Vote] = []
    updates = replace(world.updates, on_update=seen.append)
    updates.update(MODEL)
    world.monitor.label(labels(20, {1: 8.0, 2: 2.0}))
    updates.update(MODEL)
    assert [{member.version: member.weight for member in one.members} for one in seen] == [
        {1: 0.731, 2: 0.269},
        {1: 0.524, 2: 0.476},
    ]


def test_small_moves_are_not_published(world: World) -> None:
    given_vote(world, 2, share=0.0)
    before = world.route().sequence
    follows(world, labels(1, {1: 0.0, 2: 0.1}))
    assert world.route().sequence == before
    for _ in range(3):
        world.monitor.label(labels(1, {1: 0.0, 2: 0.1}))
    for _ in range(3):
        world.updates.update(MODEL)
    world.settle(0.01)
    assert world.route().sequence == before + 1


def test_a_page_that_comes_twice_counts_once(world: World) -> None:
    given_vote(world, 2)
    follows(world, labels(20, {1: 8.0, 2: 2.0}))
    weights = votes(world)
    world.monitor.pages["1"] = world.monitor.pages["0"]
    world.updates.update(MODEL)
    world.settle(0.01)
    assert votes(world) == weights
    assert vote(world).labels == 20


def test_labels_before_the_first_position_do_not_count(world: World) -> None:
    given_vote(world, 2)
    world.monitor.label(labels(20, {1: 8.0, 2: 2.0}))
    world.monitor.pages[None] = world.monitor.pages["0"]
    world.updates.update(MODEL)
    assert vote(world).labels == 0


def test_weights_stay_while_the_monitor_is_away(world: World) -> None:
    given_vote(world, 2)
    follows(world, labels(20, {1: 8.0, 2: 2.0}))
    weights = votes(world)
    world.monitor.away = True
    world.updates.update(MODEL)
    world.settle(0.01)
    assert votes(world) == weights
    assert vote(world).problem == "the monitor does not answer; the weights stay as they are"
    world.monitor.away = False
    world.updates.update(MODEL)
    assert vote(world).problem == ""


def test_a_restarted_deployer_publishes_weights_that_were_saved_and_reads_on_after_them(world: World) -> None:
    given_vote(world, 2)
    world.updates.update(MODEL)
    world.monitor.label(labels(20, {1: 8.0, 2: 2.0}))
    world.updates.update(MODEL)
    assert votes(world) == {2: 0.269, 1: 0.731}  # killed before the reconciler published them
    world.restart()
    world.settle(0.01)
    assert votes(world) == {2: 0.476, 1: 0.524}
    world.updates.update(MODEL)
    assert vote(world).labels == 20


def test_one_member_is_drawn_for_each_request(world: World) -> None:
    given_vote(world, 2, answer="draw")
    with world.store.read() as records:
        published = records.routes.published(world.route().name)
    assert published is not None
    root = read(RoutePlan, published.plan).root
    assert isinstance(root, Split)
    assert (root.unit, root.draw) == ("request", True)
    assert [(arm.name, arm.weight) for arm in root.arms] == [("v2", 0.269), ("v1", 0.731)]


def test_a_draw_leaves_every_member_some_requests(world: World) -> None:
    given_vote(world, 2, answer="draw")
    follows(world, labels(40, {2: 40.0}, drawn=True))
    assert votes(world) == {2: 0.02, 1: 0.98}


def test_fewer_members_take_effect_without_a_rollout(world: World) -> None:
    given_vote(world, 2, 3, 4, 5)
    assert len(votes(world)) == 5
    policy_changes(world, adaptive(members=3))
    assert set(votes(world)) == {1, 4, 5}
    assert set(left(world)) == {2, 3}
    assert world.rollouts()[-1].to_version == 5


def test_a_model_becomes_adaptive_with_the_versions_that_served_before(world: World) -> None:
    world.given_serving(1)
    for version in (2, 3):
        world.request(RolloutAction.START, version, strategy=RolloutStrategy.FULL)
        world.settle(0.01)
        world.routers_apply()
        world.settle(0.01)
    policy_changes(world, adaptive())
    assert votes(world) == {3: 0.576, 1: 0.212, 2: 0.212}


def test_a_model_that_is_no_longer_adaptive_goes_on_with_its_best_member(world: World) -> None:
    given_vote(world, 2, 3)
    policy_changes(world, RolloutPolicy(strategy="canary"))
    for _ in range(3):
        world.settle(0.01)
        world.routers_apply()
    world.settle(0.01)
    assert votes(world) == {1: 1.0}
    assert world.serving().champion == 1
    last = world.rollouts()[-1]
    assert (last.requested_by, last.to_version, last.state) == ("deployer", 1, State.PROMOTED)
    world.approve(4)
    world.settle(0.01)
    assert world.weights() == pytest.approx({1: 0.95, 4: 0.05})


def test_the_largest_weight_decides_against_an_older_comparison(world: World) -> None:
    given_vote(world, 2)
    world.evaluate(2, 1, Verdict.DEPLOY)
    policy_changes(world, RolloutPolicy(strategy="canary"))
    for _ in range(3):
        world.settle(0.01)
        world.routers_apply()
    world.settle(0.01)
    assert votes(world) == {1: 1.0}


def test_a_version_outclassed_by_the_lead_joins_the_vote_all_the_same(world: World) -> None:
    given_vote(world, 2)
    world.evaluate(3, 2, Verdict.REJECT)
    joins(world, 3)
    assert set(votes(world)) == {1, 2, 3}


def test_a_requested_strategy_is_followed_and_the_version_leads_the_vote_after_it(world: World) -> None:
    given_vote(world, 2)
    world.request(RolloutAction.START, 3, strategy=RolloutStrategy.FULL)
    world.settle(0.01)
    assert votes(world) == {3: 1.0}
    world.routers_apply()
    world.settle(0.01)
    assert world.serving().champion == 3
    assert list(votes(world)) == [3, 1, 2]
    assert votes(world)[3] > 0.5


def test_a_canary_is_compared_with_the_vote(world: World) -> None:
    given_vote(world, 2)
    world.request(RolloutAction.START, 3, strategy=RolloutStrategy.CANARY)
    world.settle(0.01)
    with world.store.read() as records:
        published = records.routes.published(world.route().name)
    assert published is not None
    root = read(RoutePlan, published.plan).root
    assert isinstance(root, Split)
    assert [(arm.name, arm.weight, type(arm.node)) for arm in root.arms] == [
        ("canary", 0.05, VersionLeaf),
        ("stable", 0.95, Ensemble),
    ]


def register_snapshot(world: World, version: int, learner: str | None = "forest") -> None:
    training = TrainingLineage(recipe="incremental", parameters={LEARNER_FACT: learner} if learner else {})
    manifest = a_manifest(MODEL, version).model_copy(update={"training": training})
    world.registry.given_version(manifest, {"model.bin": model_file(MODEL, version)}, VersionStage.APPROVED)


def snapshot_joins(world: World, version: int) -> None:
    world.approve(version)
    for _ in range(3):
        world.settle(0.01)
        world.routers_apply()
    world.settle(0.01)


def given_learner(world: World) -> None:
    """Version 6 of an online learner joined, then version 7, which is the champion."""
    given_vote(world, 2)
    for version, learner in ((6, "forest"), (7, None)):
        register_snapshot(world, version, learner)
    snapshot_joins(world, 6)
    joins(world, 7)
    follows(world, labels(20, {1: 8.0, 2: 9.0, 6: 1.0, 7: 7.0}))


def test_a_newer_snapshot_of_an_online_learner_takes_the_place_of_the_older_one(world: World) -> None:
    given_learner(world)
    before = votes(world)
    register_snapshot(world, 8)
    snapshot_joins(world, 8)
    assert votes(world) == {(8 if version == 6 else version): weight for version, weight in before.items()}
    assert (world.serving().champion, world.serving().history) == (7, (1, 2))
    last = world.published(RolloutChanged)[-1]
    assert (last.state, last.to_version, last.replaces, last.weight_percent) == (
        State.PROMOTED,
        8,
        6,
        pytest.approx(before[6] * 100),
    )
    world.settle(10.0)
    assert world.processes.serving() == {1, 2, 7, 8}


def test_late_labels_of_an_older_snapshot_count_for_the_newer_one(world: World) -> None:
    given_learner(world)
    register_snapshot(world, 8)
    snapshot_joins(world, 8)
    before = votes(world)[8]
    world.monitor.label(labels(20, {1: 2.0, 2: 2.0, 6: 18.0, 7: 2.0}))
    world.updates.update(MODEL)
    world.settle(0.01)
    assert votes(world)[8] < before / 2
    member = vote(world).member(8)
    assert member is not None
    assert member.rows == 40


def test_a_newer_snapshot_of_the_champion_becomes_the_champion(world: World) -> None:
    given_vote(world, 2)
    register_snapshot(world, 6)
    register_snapshot(world, 7)
    world.request(RolloutAction.START, 6, strategy=RolloutStrategy.FULL)
    snapshot_joins(world, 6)
    assert world.serving().champion == 6
    snapshot_joins(world, 7)
    assert (world.serving().champion, world.serving().history) == (7, (1, 2))
    assert next(iter(votes(world))) == 7


def test_an_aborted_snapshot_leaves_the_place_to_the_older_one(world: World) -> None:
    given_learner(world)
    before = votes(world)
    register_snapshot(world, 8)
    world.approve(8)
    world.settle(0.01)
    assert 8 in votes(world)
    world.request(RolloutAction.ABORT, reason="not yet")
    world.settle(0.01)
    assert votes(world) == before


def test_a_snapshot_of_another_learner_is_a_new_member(world: World) -> None:
    given_learner(world)
    register_snapshot(world, 8, "linear")
    snapshot_joins(world, 8)
    assert set(votes(world)) == {1, 2, 6, 7, 8}
    assert world.serving().champion == 7


def test_a_snapshot_joins_without_leading(world: World) -> None:
    given_vote(world, 2)
    register_snapshot(world, 6)
    snapshot_joins(world, 6)
    assert list(votes(world)) == [2, 1, 6]
    assert (world.serving().champion, world.serving().history) == (2, (1,))
    last = world.published(RolloutChanged)[-1]
    assert (last.state, last.to_version, last.keeps_champion, last.replaces) == (State.PROMOTED, 6, True, None)


def test_a_roll_back_leaves_members_that_never_led(world: World) -> None:
    given_learner(world)
    world.request(RolloutAction.ROLL_BACK, reason="complaints")
    world.settle(0.01)
    world.routers_apply()
    world.settle(0.01)
    assert world.serving().champion == 2
    assert set(votes(world)) == {1, 2, 6}
