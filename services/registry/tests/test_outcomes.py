"""Evaluations, rollouts and runs change versions once, in order, all or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import func, select

from modelyard_contracts import Message, RolloutState, RolloutStrategy, TrainingRunChanged, Verdict, VersionStage
from modelyard_contracts.messages.training import RunState
from modelyard_registry.domain.errors import EvidenceMismatch, ModelNotFound, VersionNotFound
from modelyard_registry.store.tables import METADATA

from .conftest import World, evaluation, rollout

S = VersionStage


@pytest.mark.parametrize(
    ("verdict", "stage"),
    [
        (Verdict.DEPLOY, S.APPROVED),
        (Verdict.REJECT, S.REJECTED),
        (Verdict.CONTINUE_TUNING, S.REJECTED),
        (Verdict.INCONCLUSIVE, S.REGISTERED),
    ],
)
def test_a_verdict_moves_a_registered_version(world: World, verdict: Verdict, stage: VersionStage) -> None:
    version = world.given_version()
    world.deliver(evaluation(version, verdict))
    assert world.stage_of(version) is stage


@pytest.mark.parametrize("champion_is_replaced", [False, True])
def test_a_snapshot_that_takes_a_place_in_a_vote_is_champion_only_if_the_older_one_was(
    world: World, champion_is_replaced: bool
) -> None:
    old, other, new = (world.given_version(S.APPROVED) for _ in range(3))
    vote: dict[str, Any] = {"strategy": RolloutStrategy.FULL, "adaptive": True}
    order = (other, old) if champion_is_replaced else (old, other)
    for version in order:
        world.deliver(rollout(version, RolloutState.PROMOTED, at=world.clock.advance(1), **vote))
    evidence = {"replaces": float(old.version)}
    world.deliver(rollout(new, RolloutState.PROMOTED, at=world.clock.advance(1), evidence=evidence, **vote))
    serves, stands = (new, S.LIVE) if champion_is_replaced else (other, S.APPROVED)
    assert _aliases(world)["champion"] == serves.version
    assert (world.stage_of(new), world.stage_of(old)) == (stands, S.RETIRED)


def test_a_snapshot_that_joins_a_vote_leaves_the_champion(world: World) -> None:
    serves, new = world.given_version(S.APPROVED), world.given_version(S.APPROVED)
    vote: dict[str, Any] = {"strategy": RolloutStrategy.FULL, "adaptive": True}
    world.deliver(rollout(serves, RolloutState.PROMOTED, at=world.clock.advance(1), **vote))
    evidence = {"keeps_champion": 1.0}
    world.deliver(rollout(new, RolloutState.PROMOTED, at=world.clock.advance(1), evidence=evidence, **vote))
    assert _aliases(world) == {"champion": serves.version}
    assert (world.stage_of(serves), world.stage_of(new)) == (S.LIVE, S.APPROVED)


def test_an_automatic_gate_approves_at_once_as_a_move_of_its_own(world: World) -> None:
    version = world.given_version()
    event = evaluation(version, Verdict.DEPLOY, reasons=("It is better.", "0.91 against 0.85 on 1,000 rows."))
    world.deliver(event)
    evaluated, approved = world.queued()[-2:]
    assert (evaluated.stage, evaluated.cause_id, evaluated.actor) == (S.EVALUATED, event.event_id, "evaluator")
    assert (approved.stage, approved.cause_id, approved.actor) == (S.APPROVED, evaluated.event_id, "gate")
    assert {evaluated.correlation_id, approved.correlation_id} == {event.correlation_id}
    assert evaluated.reason == "deploy: It is better. 0.91 against 0.85 on 1,000 rows."


def test_a_manual_gate_waits_for_a_person(world: World) -> None:
    version = world.given_version(S.EVALUATED)
    assert world.stage_of(version) is S.EVALUATED
    world.client.approve("elec", version.version, "fine")
    assert world.stage_of(version) is S.APPROVED


def test_a_redelivered_evaluation_moves_the_version_once(world: World) -> None:
    version = world.given_version()
    event = evaluation(version, Verdict.DEPLOY)
    world.deliver(event)
    published, lines = len(world.queued()), len(world.client.history("elec"))
    world.deliver(event)
    assert (len(world.queued()), len(world.client.history("elec"))) == (published, lines)


def test_a_later_verdict_about_a_version_that_moved_on_is_recorded_and_moves_nothing(world: World) -> None:
    version = world.given_version(S.LIVE)
    published = len(world.queued())
    world.deliver(evaluation(version, Verdict.REJECT))
    assert world.stage_of(version) is S.LIVE
    assert len(world.queued()) == published
    entry = world.client.history("elec")[-1]
    assert (entry.change, entry.revision, entry.detail["verdict"]) == ("evaluation_finished", None, "reject")


def test_a_second_opinion_can_still_reject_what_waits_for_approval(world: World) -> None:
    version = world.given_version(S.EVALUATED)
    world.deliver(evaluation(version, Verdict.REJECT))
    assert world.stage_of(version) is S.REJECTED


def test_evidence_about_other_bytes_or_unknown_versions_is_named_as_wrong(world: World) -> None:
    version = world.given_version()
    for event, error in (
        (evaluation(version, Verdict.DEPLOY, challenger_digest="sha256:" + "0" * 64), EvidenceMismatch),
        (evaluation(version, Verdict.DEPLOY, challenger_version=9), VersionNotFound),
        (evaluation(version, Verdict.DEPLOY, model="unknown"), ModelNotFound),
    ):
        with pytest.raises(error):  # named and not retryable, so the consumer writes it to the dead letters
            world.deliver(event)
        assert not error.retryable
    assert world.stage_of(version) is S.REGISTERED


def _stages(world: World) -> dict[int, VersionStage]:
    return {version.version: version.stage for version in world.client.versions("elec")}


def _aliases(world: World) -> dict[str, int]:
    return {name: alias.version for name, alias in world.client.aliases("elec").items()}


def test_a_promotion_makes_the_new_one_live_and_keeps_the_old_one_for_a_roll_back(world: World) -> None:
    old, new = world.given_version(S.LIVE), world.given_version(S.APPROVED)
    canary = uuid4()
    at = world.clock.advance(10)
    world.deliver(rollout(new, RolloutState.SHIFTING, at=at, rollout_id=canary, from_version=old.version))
    assert _aliases(world) == {"champion": old.version, "challenger": new.version}
    world.deliver(rollout(new, RolloutState.PROMOTED, at=at, rollout_id=canary, revision=2, from_version=old.version))
    assert _stages(world) == {old.version: S.APPROVED, new.version: S.LIVE}
    assert _aliases(world) == {"champion": new.version}
    champion = world.client.alias("elec", "champion")
    assert champion is not None and champion.generation == 2


@pytest.mark.parametrize("state", [RolloutState.ABORTED, RolloutState.FAILED])
def test_an_aborted_canary_is_rejected_and_the_champion_stays(world: World, state: RolloutState) -> None:
    old, new = world.given_version(S.LIVE), world.given_version(S.APPROVED)
    canary, at = uuid4(), world.clock.advance(10)
    world.deliver(rollout(new, RolloutState.SHIFTING, at=at, rollout_id=canary, from_version=old.version))
    world.deliver(rollout(new, state, at=at, rollout_id=canary, revision=2, from_version=old.version))
    assert _stages(world) == {old.version: S.LIVE, new.version: S.REJECTED}
    assert _aliases(world) == {"champion": old.version}


def test_a_roll_back_rejects_what_hurt_and_brings_the_one_before_back(world: World) -> None:
    old, new = world.given_version(S.LIVE), world.given_version(S.LIVE)
    at = world.clock.advance(10)
    world.deliver(rollout(old, RolloutState.ROLLED_BACK, at=at, from_version=new.version))
    assert _stages(world) == {old.version: S.LIVE, new.version: S.REJECTED}
    assert _aliases(world) == {"champion": old.version}


def test_a_way_back_that_fails_is_no_evidence_against_the_version_that_served_before(world: World) -> None:
    old, new = world.given_version(S.LIVE), world.given_version(S.LIVE)
    back, at = uuid4(), world.clock.advance(10)
    full: dict[str, Any] = {"rollout_id": back, "from_version": new.version, "strategy": RolloutStrategy.FULL}
    world.deliver(rollout(old, RolloutState.SHIFTING, at=at, **full))
    assert _aliases(world) == {"champion": new.version}
    world.deliver(rollout(old, RolloutState.FAILED, at=at, revision=2, **full))
    assert _stages(world) == {old.version: S.APPROVED, new.version: S.LIVE}


@pytest.mark.parametrize(
    ("evidence", "stage"),
    [({"against_version": 0.0}, S.APPROVED), ({"against_version": 1.0}, S.REJECTED), ({}, S.REJECTED)],
    ids=["by a person", "by evidence", "by a deployer of before"],
)
def test_a_version_that_served_before_is_rejected_by_evidence_and_not_by_the_end_of_its_return(
    world: World, evidence: dict[str, float], stage: VersionStage
) -> None:
    old, new = world.given_version(S.LIVE), world.given_version(S.LIVE)
    back, at = uuid4(), world.clock.advance(10)
    canary: dict[str, Any] = {"rollout_id": back, "from_version": new.version}
    world.deliver(rollout(old, RolloutState.SHIFTING, at=at, **canary))
    assert _aliases(world) == {"champion": new.version, "challenger": old.version}
    aborted = rollout(old, RolloutState.ABORTED, at=at, revision=2, evidence=evidence, **canary)
    for _ in range(2):
        world.deliver(aborted)
    assert _stages(world) == {old.version: stage, new.version: S.LIVE}
    assert _aliases(world) == {"champion": new.version}


def test_a_version_that_never_served_is_rejected_when_a_person_ends_its_canary(world: World) -> None:
    old, new = world.given_version(S.LIVE), world.given_version(S.APPROVED)
    at, person = world.clock.advance(10), {"against_version": 0.0}
    world.deliver(rollout(new, RolloutState.ABORTED, at=at, evidence=person, from_version=old.version))
    assert _stages(world) == {old.version: S.LIVE, new.version: S.REJECTED}


@pytest.mark.parametrize(("harm", "stage"), [(0.0, S.REGISTERED), (1.0, S.REJECTED)], ids=["no harm", "harm"])
def test_a_live_share_rejects_its_version_only_if_it_did_harm(world: World, harm: float, stage: VersionStage) -> None:
    version = world.given_version()
    world.deliver(rollout(version, RolloutState.SHIFTING, from_version=1, at=world.clock.advance(1)))
    evidence = {"live_share": 1.0, "against_version": harm}
    world.deliver(rollout(version, RolloutState.ABORTED, at=world.clock.advance(1), evidence=evidence))
    assert world.stage_of(version) is stage


def test_an_approval_that_overtakes_the_end_of_a_live_share_stands(world: World) -> None:
    version = world.given_version(S.APPROVED)
    evidence = {"live_share": 1.0, "against_version": 0.0}
    world.deliver(rollout(version, RolloutState.ABORTED, at=world.clock.advance(1), evidence=evidence))
    assert world.stage_of(version) is S.APPROVED


def test_redelivered_and_late_rollout_news_changes_nothing(world: World) -> None:
    old, new = world.given_version(S.LIVE), world.given_version(S.APPROVED)
    canary, at = uuid4(), world.clock.advance(10)
    shifting = rollout(new, RolloutState.SHIFTING, at=at, rollout_id=canary, from_version=old.version)
    promoted = rollout(new, RolloutState.PROMOTED, at=at, rollout_id=canary, revision=2, from_version=old.version)
    before = rollout(old, RolloutState.PROMOTED, at=at.replace(year=2025))
    world.deliver(promoted)
    published = len(world.queued())
    for late in (shifting, promoted, shifting, before):
        world.deliver(late)
    assert len(world.queued()) == published
    assert _stages(world) == {old.version: S.APPROVED, new.version: S.LIVE}
    assert _aliases(world) == {"champion": new.version}


def test_a_run_is_recorded_and_publishes_nothing(world: World) -> None:
    version = world.given_version()
    published = len(world.queued())
    run = TrainingRunChanged(
        event_id=uuid4(),
        occurred_at=world.clock(),
        correlation_id=uuid4(),
        model="elec",
        run_id=uuid4(),
        revision=3,
        state=RunState.SUCCEEDED,
        recipe="tabular-classifier",
        trigger="performance",
        version=version.version,
        metrics={"accuracy": 0.9},
    )
    world.deliver(run)
    world.deliver(run)
    assert len(world.queued()) == published
    entry = world.client.history("elec")[-1]
    assert (entry.change, entry.version, entry.detail["state"]) == ("training_run_changed", 1, "succeeded")
    assert entry.correlation_id == str(run.correlation_id)
    assert [one.change for one in world.client.history("elec")].count("training_run_changed") == 1


class Crash(Exception):
    """Stands for the end of the process."""


@contextmanager
def crash_at(world: World, statement: int) -> Iterator[list[int]]:
    """End the process just before that statement; yields how many were run."""
    count = [0]

    def before(*_: Any) -> None:
        count[0] += 1
        if count[0] == statement:
            raise Crash

    engine = world.registry.database.engine
    sql_event.listen(engine, "before_cursor_execute", before)
    try:
        yield count
    finally:
        sql_event.remove(engine, "before_cursor_execute", before)


def _everything(world: World) -> dict[str, Any]:
    """Every row in which a half-done transaction would show."""
    with world.registry.database.read() as connection:
        rows = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in METADATA.tables.items()
        }
        resources = connection.execute(select(METADATA.tables["resources"]).order_by("id")).all()
        versions = connection.execute(select(METADATA.tables["versions"]).order_by("version")).all()
        aliases = connection.execute(select(METADATA.tables["aliases"]).order_by("alias")).all()
    return {"rows": rows, "resources": resources, "versions": versions, "aliases": aliases}


def _deploy(world: World) -> Message:
    return evaluation(world.given_version(), Verdict.DEPLOY)


def _promote(world: World) -> Message:
    old, new = world.given_version(S.LIVE), world.given_version(S.APPROVED)
    world.deliver(rollout(new, RolloutState.SHIFTING, at=world.clock.advance(9), from_version=old.version))
    return rollout(new, RolloutState.PROMOTED, at=world.clock.advance(9), from_version=old.version)


@pytest.mark.parametrize("given", [_deploy, _promote])
def test_a_crash_between_any_two_steps_leaves_nothing_and_a_repeat_does_it_all(
    world: World, given: Callable[[World], Message]
) -> None:
    event = given(world)
    before = _everything(world)
    crashes = 0
    while True:
        with crash_at(world, crashes + 1):
            try:
                world.deliver(event)
                break
            except Crash:
                crashes += 1
        assert _everything(world) == before, f"statement {crashes} left a change"
    assert crashes > 8
    after = world.queued()
    assert [one.revision for one in after] == list(range(1, len(after) + 1))
    world.deliver(event)
    assert world.queued() == after


@pytest.mark.parametrize("rejected", [False, True])
def test_a_person_may_approve_what_no_verdict_supports_and_the_reason_is_recorded(world: World, rejected: bool) -> None:
    version = world.given_version(S.REGISTERED)
    if rejected:
        world.client.reject("elec", version.version, "too slow")
    approved = world.client.approve("elec", version.version, "the old concept is back")
    assert approved.stage is S.APPROVED
    entry = world.client.history("elec")[-1]
    assert entry.reason == "the old concept is back"


def test_a_verdict_that_comes_after_a_person_approved_moves_nothing(world: World) -> None:
    version = world.given_version(S.REGISTERED)
    world.client.approve("elec", version.version, "checked by hand")
    world.deliver(evaluation(version, Verdict.REJECT))
    assert _stages(world) == {version.version: S.APPROVED}


def test_neither_a_verdict_nor_traffic_brings_a_rejected_version_back(world: World) -> None:
    old, bad = world.given_version(S.LIVE), world.given_version(S.REGISTERED)
    world.client.reject("elec", bad.version, "too slow")
    world.deliver(evaluation(bad, Verdict.DEPLOY))
    world.deliver(rollout(bad, RolloutState.SHIFTING, at=world.clock.advance(1), from_version=old.version))
    assert _stages(world) == {old.version: S.LIVE, bad.version: S.REJECTED}
