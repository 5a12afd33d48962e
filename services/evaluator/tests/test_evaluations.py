"""Evaluations from outside: events and time in, verdicts and events out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from modelyard_contracts import EvaluationRequested, ResourceChange, RolloutAction, Verdict
from modelyard_contracts.manifest import HOLDOUT_FACT, LEARNED, LEARNER_FACT
from modelyard_contracts.policies import RolloutPolicy
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_devstack.testing.statements import plans, statements
from modelyard_evaluator.domain.errors import ChallengerBroken, NotMeasurable, Unreachable
from modelyard_evaluator.domain.evaluation import Stage
from modelyard_evaluator.store.evaluations import SqlEvaluations

from .conftest import BINARY, DAY, MODEL, VALUE, World


def requested(world: World, challenger: int, champion: int) -> EvaluationRequested:
    return EvaluationRequested(
        event_id=uuid4(),
        occurred_at=world.clock(),
        correlation_id=uuid4(),
        model=MODEL,
        challenger_version=challenger,
        champion_version=champion,
        requested_by="anna",
    )


def test_a_registered_version_is_compared_with_the_champion_and_the_verdict_is_published(world: World) -> None:
    event = world.registered(2)
    world.deliver(event)
    world.work()

    [verdict] = world.verdicts()
    assert (verdict.verdict, verdict.challenger_version, verdict.champion_version) == (Verdict.DEPLOY, 2, 1)
    assert (verdict.correlation_id, verdict.cause_id) == (event.correlation_id, event.event_id)
    assert verdict.challenger_digest == world.client.version(MODEL, 2).digest
    assert (verdict.difference, verdict.difference_low, verdict.rows) == (0.06, 0.03, 1_000)
    assert verdict.dataset_digest is not None
    assert world.client.dataset(verdict.dataset_digest).rows == 1_000
    assert "0.0300" in verdict.reasons[0]


def test_a_redelivered_event_is_one_evaluation_and_one_verdict(world: World) -> None:
    event = world.registered(2)
    world.deliver(event)
    world.work()
    world.deliver(event)
    world.work()
    assert len(world.evaluations()) == 1
    assert len(world.verdicts()) == 1


def test_only_the_registration_of_a_version_starts_an_evaluation(world: World) -> None:
    world.deliver(world.registered(2, change=ResourceChange.ALIAS_MOVED))
    world.deliver(world.registered(2, change=ResourceChange.VERSION_MOVED))
    world.deliver(world.registered(1, kind="dataset", model="dataset/electricity-first-tenth"))
    assert world.evaluations() == []


def test_only_rows_that_neither_version_was_trained_on_count(world: World) -> None:
    world.given_version(4, train_until=DAY + timedelta(days=9))
    world.promote(4)
    world.deliver(world.registered(2))
    world.work()
    assert world.labels.since == [DAY + timedelta(days=9)]
    assert world.scorer.jobs[0]["since"] == (DAY + timedelta(days=9)).isoformat()


def test_a_version_without_train_until_is_judged_on_rows_after_its_registration(world: World) -> None:
    world.given_version(4, train_until=None)
    world.deliver(world.registered(4))
    world.work()
    assert world.labels.since == [world.client.version(MODEL, 4).created_at]


def test_too_few_rows_are_waited_for_and_then_inconclusive(world: World) -> None:
    world.labels.rows, world.labels.unusable = 120, 7
    world.given_version(4, dataset=None)
    world.deliver(world.registered(4))
    world.work(1.0)
    [waiting] = world.evaluations()
    assert (waiting.stage, waiting.note) == (
        Stage.WAITING,
        "120 of 300 labelled rows; 7 unusable ones left out",
    )
    world.work(30.0)
    assert world.verdicts() == []
    world.work(31.0)
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "Only 120 usable labelled predictions" in verdict.reasons[0]
    assert verdict.reasons[1].startswith("7 labelled rows were left out")
    assert "approve the version by hand" in verdict.reasons[-1]


def test_without_labels_the_held_out_rows_of_the_training_dataset_are_used_at_once(world: World) -> None:
    world.labels.rows = 0
    world.deliver(world.registered(2))
    world.work()
    [verdict] = world.verdicts()
    assert (verdict.verdict, verdict.champion_version) == (Verdict.DEPLOY, 1)
    assert world.scorer.jobs[0]["source"] == "dataset"
    assert world.scorer.jobs[0]["since"] == (DAY + timedelta(days=2)).isoformat()
    assert any("held-out part of the challenger's training dataset" in reason for reason in verdict.reasons)


def test_too_few_labels_are_waited_for_before_the_held_out_rows_are_used(world: World) -> None:
    world.labels.rows = 1
    world.deliver(world.registered(2))
    world.work(1.0)
    assert world.verdicts() == []
    world.work(61.0)
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.DEPLOY]


def test_too_few_held_out_rows_are_inconclusive_and_the_next_step_is_named(world: World) -> None:
    world.labels.rows, world.scorer.pinned_rows = 0, 12
    world.deliver(world.registered(2))
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "Only 12 usable held-out rows" in verdict.reasons[0]
    assert "train on a dataset with newer rows" in verdict.reasons[-1]


def test_rows_that_were_left_out_are_reported(world: World) -> None:
    world.scorer.unusable_rows = 9
    world.deliver(world.registered(2))
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.DEPLOY
    assert any(reason.startswith("9 labelled rows were left out") for reason in verdict.reasons)


def test_a_regression_is_judged_by_its_mean_absolute_error(world: World) -> None:
    world.given_version(1, model="fresh", signature=VALUE)
    world.scorer.result = {"champion": 3.0, "challenger": 2.0, "difference": -1.0, "low": -1.5, "high": -0.5}
    world.deliver(world.registered(1, model="fresh"))
    world.work()
    [verdict] = world.verdicts()
    assert (verdict.verdict, verdict.metric) == (Verdict.DEPLOY, "mae")
    assert "the training median" in verdict.reasons[0]
    assert "mean absolute error" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("signature", "metric", "reason"),
    [
        (VALUE, "accuracy", "metric accuracy does not fit the task regression"),
        (BINARY, "rmse", "metric rmse does not fit the task binary"),
        (Signature(columns=BINARY.columns, output=Output(task=Task.TEXT)), None, "approve the version by hand"),
        (
            Signature(columns=BINARY.columns, output=Output(task=Task.EMBEDDING, dimension=3)),
            None,
            "no label shows that",
        ),
    ],
)
def test_a_comparison_that_does_not_fit_the_task_is_refused_with_a_reason(
    world: World, signature: Signature, metric: str | None, reason: str
) -> None:
    world.set_gate(min_rows=300, metric=metric)
    world.given_version(1, model="fresh", signature=signature)
    world.deliver(world.registered(1, model="fresh"))
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert reason in verdict.reasons[0]


def test_versions_with_different_tasks_are_not_compared(world: World) -> None:
    world.given_version(4, signature=VALUE)
    world.deliver(world.registered(4))
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "the challenger's task is regression" in verdict.reasons[0]


def test_rows_that_arrive_during_the_wait_are_used_at_once(world: World) -> None:
    world.labels.rows = 120
    world.deliver(world.registered(2))
    world.work(1.0)
    world.labels.rows = 300
    world.work(1.0)
    assert world.verdicts()[0].verdict is Verdict.DEPLOY


def test_a_waiting_evaluation_does_not_block_another(world: World) -> None:
    world.labels.rows = 120
    world.deliver(world.registered(2))
    world.work(1.0)
    world.given_version(1, model="fresh")
    world.deliver(world.registered(1, model="fresh"))
    world.work(0.1)
    assert [verdict.model for verdict in world.verdicts()] == ["fresh"]


def test_without_a_champion_the_challenger_is_compared_with_the_majority_class(world: World) -> None:
    world.given_version(1, model="fresh")
    world.deliver(world.registered(1, model="fresh"))
    world.work()
    [verdict] = world.verdicts()
    assert (verdict.verdict, verdict.champion_version) == (Verdict.DEPLOY, None)
    assert verdict.champion_latency_ms_p95 is None
    assert world.scorer.jobs[0]["source"] == "dataset"
    assert world.scorer.jobs[1]["baseline"] == {"class": "no"}
    assert "the majority class" in verdict.reasons[0]


def test_without_champion_and_dataset_the_verdict_is_inconclusive(world: World) -> None:
    world.given_version(1, model="fresh", dataset=None)
    world.deliver(world.registered(1, model="fresh"))
    world.work()
    assert world.verdicts()[0].verdict is Verdict.INCONCLUSIVE


def test_a_challenger_that_cannot_be_loaded_is_rejected(world: World) -> None:
    world.scorer.error = ChallengerBroken("Inadmissible: model.skops holds os.system")
    world.deliver(world.registered(2))
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.REJECT
    assert "os.system" in verdict.reasons[0]


def test_a_champion_that_cannot_be_scored_is_not_evidence_against_the_challenger(world: World) -> None:
    world.scorer.error = NotMeasurable("the champion cannot be scored: MemoryError")
    world.deliver(world.registered(2))
    world.work()
    assert world.verdicts()[0].verdict is Verdict.INCONCLUSIVE


def test_an_unreachable_registry_is_retried_with_growing_pauses(world: World) -> None:
    world.deliver(world.registered(2))
    with world.registry.unavailable():
        for _ in range(4):
            world.work(10.0)
    [waiting] = world.evaluations()
    assert waiting.stage is Stage.PENDING
    assert waiting.attempts >= 3
    world.work(60.0)
    assert world.verdicts()[0].verdict is Verdict.DEPLOY


def test_a_registry_that_is_unreachable_for_long_loses_no_version(world: World) -> None:
    """Before the challenger is resolved no event could report the end, so the evaluation must not give up."""
    world.deliver(world.registered())
    with world.registry.unavailable():
        for _ in range(25):
            world.work(31.0)
        [waiting] = world.evaluations()
        assert not waiting.done
        with world.deps.storage.transaction() as tx:
            tx.evaluations.save(waiting, replace(waiting, attempts=2_000))  # most of a day
        world.work(31.0)
        assert world.evaluations()[0].attempts == 2_001
    world.work(31.0)
    assert [event.verdict for event in world.verdicts()] == [Verdict.DEPLOY]


def test_a_gate_that_needs_more_rows_than_it_pins_pins_as_many(world: World) -> None:
    world.set_gate(min_rows=5_000, recent_rows=2_000)
    world.labels.rows = 6_000
    world.deliver(world.registered())
    world.work()
    assert world.scorer.jobs[0]["limit"] == 5_000


def test_a_comparison_that_keeps_failing_ends_inconclusive(world: World) -> None:
    world.scorer.error = Unreachable("ClickHouse: connection refused")
    world.deliver(world.registered(2))
    for _ in range(25):
        world.work(60.0)
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert "failed 20 times" in verdict.reasons[0]


def test_a_request_can_name_its_own_champion(world: World) -> None:
    event = requested(world, 3, champion=2)
    world.deliver(event)
    world.work()
    assert (world.verdicts()[0].challenger_version, world.verdicts()[0].champion_version) == (3, 2)


def test_an_unknown_version_ends_without_an_event(world: World) -> None:
    world.deliver(world.registered(9))
    world.work()
    assert world.evaluations()[0].done
    assert world.verdicts() == []


def test_scoring_is_prepared_while_waiting_for_rows(world: World) -> None:
    world.labels.rows = 1
    world.deliver(world.registered(2))
    world.work()
    assert world.evaluations()[0].stage is Stage.WAITING
    assert world.scorer.warmed == 1
    assert world.scorer.jobs == []


def beats(low: float, **changes: object) -> dict[str, object]:
    return {"champion": 0.70, "challenger": 0.80, "difference": 0.1, "low": low, "high": low + 0.05, **changes}


def test_an_earlier_version_that_beats_the_champion_is_rolled_out_again(world: World) -> None:
    world.promote(2)
    world.scorer.results = {
        ("champion", "challenger"): {"low": -0.02, "difference": 0.01},
        ("champion", "version-1"): beats(0.06),
    }
    event = world.registered(3)
    world.deliver(event)
    world.work()

    [verdict], [rollout] = world.verdicts(), world.rollout_requests()
    assert verdict.verdict is Verdict.CONTINUE_TUNING
    assert verdict.reasons[0].startswith("Version 1, which served before, is better than version 2 on these rows")
    assert (rollout.action, rollout.version, rollout.requested_by) == (RolloutAction.START, 1, "evaluator")
    assert (rollout.correlation_id, rollout.cause_id) == (event.correlation_id, verdict.event_id)


def test_a_good_challenger_loses_only_to_an_earlier_version_that_beats_it_too(world: World) -> None:
    world.promote(2)
    world.scorer.results = {("champion", "version-1"): beats(0.06), ("challenger", "version-1"): beats(-0.01)}
    world.deliver(world.registered(3))
    world.work()
    assert (world.verdicts()[0].verdict, world.rollout_requests()) == (Verdict.DEPLOY, [])

    world.scorer.results["challenger", "version-1"] = beats(0.01)
    world.deliver(world.registered(3))
    world.work()
    assert (world.verdicts()[1].verdict, world.rollout_requests()[0].version) == (Verdict.REJECT, 1)


def test_the_best_earlier_version_returns_and_versions_that_cannot_be_scored_are_skipped(world: World) -> None:
    for version in (4, 5, 6):
        world.given_version(version)
    for version in (2, 3, 4, 5):
        world.promote(version)
    world.set_gate(min_rows=300, earlier_versions=3)
    world.scorer.broken = {"version-4"}
    world.scorer.results = {
        ("champion", "challenger"): {"low": -0.02, "difference": 0.01},
        ("champion", "version-1"): beats(0.3, difference=0.4),
        ("champion", "version-2"): beats(0.06, difference=0.2),
        ("champion", "version-3"): beats(0.06, difference=0.1),
    }
    world.deliver(world.registered(6))
    world.work()
    assert [rollout.version for rollout in world.rollout_requests()] == [2]  # 1 is only the fourth newest


def test_an_earlier_version_with_another_signature_does_not_take_part(world: World) -> None:
    other = Signature(columns=(Column(name="height"),), output=BINARY.output)
    world.given_version(4, signature=other)
    world.promote(4)
    world.promote(2)
    world.scorer.results = {("champion", "version-4"): beats(0.06), ("champion", "version-1"): beats(-0.5)}
    world.deliver(world.registered(3))
    world.work()
    assert (world.verdicts()[0].verdict, world.rollout_requests()) == (Verdict.DEPLOY, [])


def test_under_manual_approval_the_return_is_only_recommended(world: World) -> None:
    world.set_gate(min_rows=300, approval="manual")
    world.promote(2)
    world.scorer.results = {("champion", "version-1"): beats(0.06), ("challenger", "version-1"): beats(0.01)}
    world.deliver(world.registered(3))
    world.work()
    assert world.rollout_requests() == []
    assert "Approval is manual" in world.verdicts()[0].reasons[0]


def test_the_policy_can_leave_earlier_versions_out(world: World) -> None:
    world.set_gate(min_rows=300, earlier_versions=0)
    world.promote(2)
    world.scorer.results = {("champion", "version-1"): beats(0.06)}
    world.deliver(world.registered(3))
    world.work()
    assert (world.verdicts()[0].verdict, world.rollout_requests()) == (Verdict.DEPLOY, [])


def test_an_earlier_version_that_was_trained_on_the_rows_does_not_take_part(world: World) -> None:
    world.given_version(4, train_until=DAY + timedelta(days=35))
    world.promote(4)
    world.promote(2)
    world.scorer.results = {
        ("champion", "version-4"): beats(0.06),
        ("challenger", "version-4"): beats(0.01),
        ("champion", "version-1"): beats(-0.5),
    }
    world.deliver(world.registered(3))
    world.work()
    assert (world.verdicts()[0].verdict, world.rollout_requests()) == (Verdict.DEPLOY, [])


def test_a_challenger_is_compared_with_the_version_in_a_canary_too(world: World) -> None:
    world.canary(2)
    world.scorer.results = {("version-2", "challenger"): beats(0.06)}
    world.deliver(world.registered(3))
    world.work()

    [verdict] = world.verdicts()
    [other] = verdict.others
    assert (verdict.verdict, verdict.champion_version) == (Verdict.DEPLOY, 1)
    assert (other.version, other.verdict, other.difference_low) == (2, Verdict.DEPLOY, 0.06)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-0.2, -0.1, Verdict.REJECT), (-0.1, 0.1, Verdict.CONTINUE_TUNING)]
)
def test_a_better_canary_neither_rejects_the_challenger_nor_is_requested_again(
    world: World, low: float, high: float, expected: Verdict
) -> None:
    world.canary(2)
    world.scorer.results = {
        ("champion", "version-2"): beats(0.2),
        ("challenger", "version-2"): beats(0.1),
        ("version-2", "challenger"): {"low": low, "high": high},
    }
    world.deliver(world.registered(3))
    world.work()

    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.DEPLOY  # the canary may still be aborted
    assert [(other.version, other.verdict) for other in verdict.others] == [(2, expected)]
    assert world.rollout_requests() == []


def test_a_canary_that_cannot_be_compared_is_left_out(world: World) -> None:
    world.canary(2)
    world.scorer.broken = {"version-2"}
    world.deliver(world.registered(3))
    world.work()
    assert [(verdict.verdict, verdict.others) for verdict in world.verdicts()] == [(Verdict.DEPLOY, ())]


def test_an_approved_version_whose_canary_has_not_begun_is_compared(world: World) -> None:
    world.approve(2)
    world.scorer.results = {("version-2", "challenger"): beats(0.06), ("champion", "version-2"): beats(-0.5)}
    world.deliver(world.registered(3))
    world.work()
    assert [(other.version, other.verdict) for other in world.verdicts()[0].others] == [(2, Verdict.DEPLOY)]


def test_a_version_that_was_promoted_while_rows_were_awaited_is_the_champion(world: World) -> None:
    world.labels.rows = 10
    world.deliver(world.registered(3))
    world.work()
    world.promote(2)
    world.labels.rows = 1_000
    world.work(1.0)

    [verdict] = world.verdicts()
    assert verdict.champion_version == 2


def test_a_champion_that_was_asked_for_stays_it(world: World) -> None:
    world.labels.rows = 10
    world.deliver(requested(world, 3, champion=1))
    world.work()
    world.promote(2)
    world.labels.rows = 1_000
    world.work(1.0)
    assert world.verdicts()[0].champion_version == 1


def votes(world: World) -> None:
    world.client.set_policy(MODEL, RolloutPolicy(strategy="adaptive"))


NOT_BETTER = {"low": -0.03, "high": 0.03}


def test_a_version_of_an_adaptive_model_joins_the_vote_without_being_better(world: World) -> None:
    votes(world)
    world.scorer.result = NOT_BETTER
    world.deliver(world.registered(2))
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.DEPLOY
    assert verdict.reasons[0].startswith("Safe to join the vote")
    assert verdict.others == ()


def test_a_version_of_an_adaptive_model_does_not_wait_for_labels(world: World) -> None:
    votes(world)
    world.labels.rows = 29
    world.deliver(world.registered(2))
    world.work()
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.DEPLOY]
    assert world.scorer.jobs[0]["source"] == "dataset"


def test_an_earlier_version_of_an_adaptive_model_does_not_return_as_it_votes_already(world: World) -> None:
    votes(world)
    world.promote(2)
    world.scorer.results = {("champion", "version-1"): beats(0.2), ("champion", "challenger"): NOT_BETTER}
    world.deliver(world.registered(3))
    world.work()
    assert world.rollout_requests() == []
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.DEPLOY]


def test_the_first_version_of_an_adaptive_model_must_be_better_than_a_constant(world: World) -> None:
    world.client.create_model("fresh")
    world.client.set_policy("fresh", RolloutPolicy(strategy="adaptive"))
    world.given_version(1, model="fresh")
    world.scorer.result = NOT_BETTER
    world.deliver(world.registered(1, model="fresh"))
    world.work()
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.CONTINUE_TUNING]


@pytest.mark.parametrize("facts", [{LEARNER_FACT: "forest"}, {HOLDOUT_FACT: LEARNED}])
def test_a_member_that_has_learned_from_every_row_is_judged_on_the_rows_that_exist(
    world: World, facts: dict[str, str]
) -> None:
    votes(world)
    world.given_version(4, dataset=None, parameters=facts)
    world.deliver(world.registered(4))
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.DEPLOY
    assert any("has learned from these rows" in reason for reason in verdict.reasons)
    assert world.labels.since == [datetime(1970, 1, 1, tzinfo=UTC)]


def test_open_evaluations_are_found_by_an_index(world: World) -> None:
    """The worker asks several times a second."""
    with statements(world.database.engine) as executed, world.database.read() as connection:
        SqlEvaluations(connection).due(world.clock())
        SqlEvaluations(connection).open_ids()
    if world.database.engine.dialect.name != "sqlite":
        pytest.skip("the plan of a small table on PostgreSQL is a scan")
    assert plans(world.database.engine, executed).count("SEARCH evaluations USING INDEX evaluations_") == 2
