"""Evaluations from the outside: events and time in, verdicts and events out."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from modelyard_contracts import EvaluationRequested, ResourceChange, RolloutAction, Verdict
from modelyard_contracts.manifest import Feature, FeatureSchema
from modelyard_contracts.policies import GatePolicy
from modelyard_evaluator import store
from modelyard_evaluator.domain.model import Stage
from modelyard_evaluator.domain.ports import Away, ChallengerBroken, Refused

from .conftest import DAY, MODEL, World, known


def test_a_registered_version_is_compared_with_the_champion_and_the_verdict_is_told(world: World) -> None:
    event = world.registered(2)
    world.deliver(event)
    world.work()

    [told] = world.told()
    assert (told.verdict, told.challenger_version, told.champion_version) == (Verdict.DEPLOY, 2, 1)
    assert (told.correlation_id, told.cause_id) == (event.correlation_id, event.event_id)
    assert told.challenger_digest == world.registry.versions[2].digest
    assert (told.difference, told.difference_low, told.rows) == (0.06, 0.03, 1_000)
    assert told.dataset_digest is not None
    assert "0.0300" in told.reasons[0]


def test_a_redelivered_event_is_one_evaluation_and_one_verdict(world: World) -> None:
    event = world.registered(2)
    world.deliver(event)
    world.work()
    world.deliver(event)
    world.work()
    assert len(world.evaluations()) == 1
    assert len(world.told()) == 1


def test_only_a_registered_version_begins_an_evaluation(world: World) -> None:
    world.deliver(world.registered(2, change=ResourceChange.ALIAS_MOVED))
    world.deliver(world.registered(2, change=ResourceChange.VERSION_MOVED))
    assert world.evaluations() == []


def test_only_rows_that_neither_version_learned_from_count(world: World) -> None:
    world.registry.versions[1] = known(1, train_until=DAY + timedelta(days=9))
    world.deliver(world.registered(2))
    world.work()
    assert world.labels.since == [DAY + timedelta(days=9)]
    assert world.scorer.jobs[0]["since"] == (DAY + timedelta(days=9)).isoformat()


def test_a_version_that_does_not_say_what_it_saw_is_judged_on_rows_after_its_birth(world: World) -> None:
    world.registry.versions[2] = known(2, train_until=None)
    world.deliver(world.registered(2))
    world.work()
    assert world.labels.since == [DAY + timedelta(days=30)]


def test_too_few_rows_are_waited_for_and_then_inconclusive(world: World) -> None:
    world.labels.rows = 120
    world.deliver(world.registered(2))
    world.work(1.0)
    [waiting] = world.evaluations()
    assert (waiting.stage, waiting.note) == (Stage.WAITING, "120 of 300 labelled rows")
    world.work(30.0)
    assert world.told() == []
    world.work(31.0)
    [told] = world.told()
    assert told.verdict is Verdict.INCONCLUSIVE
    assert "120 labelled rows" in told.reasons[0]


def test_rows_that_come_while_waiting_are_used_at_once(world: World) -> None:
    world.labels.rows = 120
    world.deliver(world.registered(2))
    world.work(1.0)
    world.labels.rows = 300
    world.work(1.0)
    assert world.told()[0].verdict is Verdict.DEPLOY


def test_one_that_waits_does_not_hold_up_another(world: World) -> None:
    world.labels.rows = 120
    world.deliver(world.registered(2))
    world.work(1.0)
    world.registry.champion_version = None
    world.deliver(world.registered(3))
    world.work(0.1)
    assert [told.challenger_version for told in world.told()] == [3]


def test_without_a_champion_the_majority_class_of_the_training_rows_is_the_one_to_beat(world: World) -> None:
    world.registry.champion_version = None
    world.deliver(world.registered(1))
    world.work()
    [told] = world.told()
    assert (told.verdict, told.champion_version, told.champion_latency_ms_p95) == (Verdict.DEPLOY, None, None)
    assert world.scorer.jobs[0]["source"] == "dataset"
    assert world.scorer.jobs[1]["baseline_class"] == "no"
    assert "the majority class" in told.reasons[0]


def test_without_champion_and_dataset_nothing_can_be_said(world: World) -> None:
    world.registry.champion_version = None
    world.registry.versions[1] = known(1, dataset=None)
    world.deliver(world.registered(1))
    world.work()
    assert world.told()[0].verdict is Verdict.INCONCLUSIVE


def test_a_challenger_that_cannot_be_loaded_is_rejected(world: World) -> None:
    world.scorer.error = ChallengerBroken("Inadmissible: model.skops holds os.system")
    world.deliver(world.registered(2))
    world.work()
    [told] = world.told()
    assert told.verdict is Verdict.REJECT
    assert "os.system" in told.reasons[0]


def test_a_champion_that_cannot_be_scored_is_not_held_against_the_challenger(world: World) -> None:
    world.scorer.error = Refused("the champion cannot be scored: MemoryError")
    world.deliver(world.registered(2))
    world.work()
    assert world.told()[0].verdict is Verdict.INCONCLUSIVE


def test_a_registry_that_is_away_is_waited_for_with_growing_pauses(world: World) -> None:
    world.registry.away = True
    world.deliver(world.registered(2))
    for _ in range(4):
        world.work(10.0)
    [waiting] = world.evaluations()
    assert waiting.stage is Stage.PENDING
    assert waiting.attempts >= 3
    world.registry.away = False
    world.work(60.0)
    assert world.told()[0].verdict is Verdict.DEPLOY


def test_a_registry_that_is_away_for_long_loses_no_version(world: World) -> None:
    """Before it has answered once nobody could be told of the end: neither the gate nor a person would know."""
    world.registry.away = True
    world.deliver(world.registered())
    for _ in range(25):
        world.work(31.0)
    [waiting] = world.evaluations()
    assert not waiting.done
    with world.database.transaction() as tx:
        store.save(tx.connection, waiting, replace(waiting, attempts=2_000))  # most of a day
    world.work(31.0)
    assert world.evaluations()[0].attempts == 2_001
    world.registry.away = False
    world.work(31.0)
    assert [event.verdict for event in world.told()] == [Verdict.DEPLOY]


def test_a_gate_that_needs_more_rows_than_it_looks_at_looks_at_as_many(world: World) -> None:
    world.registry.gate = GatePolicy(min_rows=5_000, recent_rows=2_000)
    world.labels.rows = 6_000
    world.deliver(world.registered())
    world.work()
    assert world.scorer.jobs[0]["limit"] == 5_000


def test_what_cannot_be_measured_at_all_ends_inconclusive(world: World) -> None:
    world.scorer.error = Away("ClickHouse: connection refused")
    world.deliver(world.registered(2))
    for _ in range(25):
        world.work(60.0)
    [told] = world.told()
    assert told.verdict is Verdict.INCONCLUSIVE
    assert "20 attempts" in told.reasons[0]


def test_a_request_names_its_own_champion(world: World) -> None:
    event = EvaluationRequested(
        event_id=uuid4(),
        occurred_at=world.clock(),
        correlation_id=uuid4(),
        model=MODEL,
        challenger_version=3,
        champion_version=2,
        requested_by="anna",
    )
    world.deliver(event)
    world.work()
    assert (world.told()[0].challenger_version, world.told()[0].champion_version) == (3, 2)


def test_a_version_that_nobody_knows_is_ended_without_a_word(world: World) -> None:
    world.deliver(world.registered(9))
    world.work()
    assert world.evaluations()[0].done
    assert world.told() == []


def test_scoring_is_prepared_while_the_rows_are_waited_for(world: World) -> None:
    world.labels.rows = 0
    world.deliver(world.registered(2))
    world.work()
    assert world.evaluations()[0].stage is Stage.WAITING
    assert world.scorer.warmed == 1
    assert world.scorer.jobs == []


def beats(low: float, **more: object) -> dict[str, object]:
    return {"champion": 0.70, "challenger": 0.80, "difference": 0.1, "low": low, "high": low + 0.05, **more}


def test_an_earlier_version_that_beats_the_champion_is_asked_to_serve_again(world: World) -> None:
    world.registry.champion_version, world.registry.approved_versions = 2, [1]
    world.scorer.pairs = {
        ("champion", "challenger"): {"low": -0.02, "difference": 0.01},
        ("champion", "version-1"): beats(0.06),
    }
    event = world.registered(3)
    world.deliver(event)
    world.work()

    [told], [asked] = world.told(), world.asked()
    assert told.verdict is Verdict.CONTINUE_TUNING
    assert told.reasons[0].startswith("Version 1, which served before, is better than version 2 on these rows")
    assert (asked.action, asked.version, asked.requested_by) == (RolloutAction.START, 1, "evaluator")
    assert (asked.correlation_id, asked.cause_id) == (event.correlation_id, told.event_id)


def test_a_good_challenger_gives_way_only_to_an_earlier_version_that_beats_it_too(world: World) -> None:
    world.registry.champion_version, world.registry.approved_versions = 2, [1]
    world.scorer.pairs = {("champion", "version-1"): beats(0.06), ("challenger", "version-1"): beats(-0.01)}
    world.deliver(world.registered(3))
    world.work()
    assert (world.told()[0].verdict, world.asked()) == (Verdict.DEPLOY, [])

    world.scorer.pairs["challenger", "version-1"] = beats(0.01)
    world.deliver(world.registered(3))
    world.work()
    assert (world.told()[1].verdict, world.asked()[0].version) == (Verdict.REJECT, 1)


def test_the_best_of_the_earlier_versions_returns_and_one_that_cannot_be_scored_is_left_out(world: World) -> None:
    world.registry.versions |= {version: known(version) for version in (4, 5, 6)}
    world.registry.champion_version, world.registry.approved_versions = 5, [1, 2, 3, 4]
    world.registry.gate = GatePolicy(min_rows=300, earlier_versions=3)
    world.scorer.broken = {"version-4"}
    world.scorer.pairs = {
        ("champion", "challenger"): {"low": -0.02, "difference": 0.01},
        ("champion", "version-1"): beats(0.3, difference=0.4),
        ("champion", "version-2"): beats(0.06, difference=0.2),
        ("champion", "version-3"): beats(0.06, difference=0.1),
    }
    world.deliver(world.registered(6))
    world.work()
    assert [asked.version for asked in world.asked()] == [2]  # 1 is the fourth newest


def test_an_earlier_version_of_another_contract_does_not_compete(world: World) -> None:
    other = FeatureSchema(features=(Feature(name="height"),), classes=("no", "yes"))
    world.registry.versions[1] = known(1, schema=other)
    world.registry.champion_version, world.registry.approved_versions = 2, [1]
    world.scorer.pairs = {("champion", "version-1"): beats(0.06)}
    world.deliver(world.registered(3))
    world.work()
    assert (world.told()[0].verdict, world.asked()) == (Verdict.DEPLOY, [])


def test_where_a_person_approves_the_return_is_only_recommended(world: World) -> None:
    world.registry.gate = GatePolicy(min_rows=300, approval="manual")
    world.registry.champion_version, world.registry.approved_versions = 2, [1]
    world.scorer.pairs = {("champion", "version-1"): beats(0.06), ("challenger", "version-1"): beats(0.01)}
    world.deliver(world.registered(3))
    world.work()
    assert world.asked() == []
    assert "Approval is manual" in world.told()[0].reasons[0]


def test_earlier_versions_can_be_left_out_by_policy(world: World) -> None:
    world.registry.gate = GatePolicy(min_rows=300, earlier_versions=0)
    world.registry.champion_version, world.registry.approved_versions = 2, [1]
    world.scorer.pairs = {("champion", "version-1"): beats(0.06)}
    world.deliver(world.registered(3))
    world.work()
    assert (world.told()[0].verdict, world.asked()) == (Verdict.DEPLOY, [])


def test_an_earlier_version_that_learned_from_the_rows_does_not_compete(world: World) -> None:
    world.registry.versions[1] = known(1, train_until=DAY + timedelta(days=35))
    world.registry.champion_version, world.registry.approved_versions = 2, [1]
    world.scorer.pairs = {("champion", "version-1"): beats(0.06), ("challenger", "version-1"): beats(0.01)}
    world.deliver(world.registered(3))
    world.work()
    assert (world.told()[0].verdict, world.asked()) == (Verdict.DEPLOY, [])
