"""Requests and drifts, delivered repeatedly and out of order, on the trainer's real tables."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from modelyard_contracts import DriftKind, RunState, TrainingRunRequested, VersionStage
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import Task
from modelyard_runtime.errors import Retryable
from modelyard_runtime.policy_time import ReplayTime
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.errors import BadRequest, IllegalMove, OpenRun, RegistryAway, UnknownModel, UnknownRun
from modelyard_trainer.domain.states import Signal
from modelyard_trainer.store.runs import StaleRun
from modelyard_trainer.usecases import (
    Deps,
    RunRequest,
    cancel_run,
    check_recipe,
    request_run,
    request_run_by_event,
    retrain_on_drift,
)

from .helpers.world import World, drift


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    """On SQLite and on PostgreSQL."""
    world = World(tmp_path / "trainer", database_url)
    yield world
    world.close()


def test_a_drift_begins_one_run_even_if_delivered_twice(world: World) -> None:
    event = drift(world)
    run = retrain_on_drift(world.deps, event)
    again = retrain_on_drift(world.deps, event)

    assert run is not None and again is None
    [published] = world.published()
    assert (published.state, published.run_id, published.trigger, published.revision) == (
        RunState.REQUESTED,
        run.id,
        "performance",
        1,
    )
    assert (published.correlation_id, published.cause_id) == (event.correlation_id, event.event_id)


def test_a_run_knows_the_change_that_its_drift_names(world: World) -> None:
    at = world.clock() - timedelta(hours=1)
    run = retrain_on_drift(world.deps, drift(world, change_at=at))
    assert run is not None and world.runs.get(run.id).change_at == at


def test_a_second_drift_while_a_run_is_open_is_refused_and_published_once(world: World) -> None:
    retrain_on_drift(world.deps, drift(world))
    second = retrain_on_drift(world.deps, drift(world, DriftKind.SCORE))
    third = retrain_on_drift(world.deps, drift(world))

    assert second is not None and third is None
    assert (second.state, second.refusal) == (RunState.REFUSED, "open_run")
    assert [one.state for one in world.published()] == [RunState.REQUESTED, RunState.REFUSED]
    assert "is still open" in world.published()[-1].reason


def test_after_the_cool_down_drift_begins_a_run_again(world: World) -> None:
    first = retrain_on_drift(world.deps, drift(world))
    assert first is not None
    with world.runs.session() as session:
        session.save(first.moved(Signal.FAILED, at=world.clock()), world.clock())

    world.clock.advance(299)
    early = retrain_on_drift(world.deps, drift(world))
    world.clock.advance(1)
    late = retrain_on_drift(world.deps, drift(world))

    assert early is not None and early.refusal == "cool_down"
    assert late is not None and late.state is RunState.REQUESTED


def replayed(world: World, file: Path) -> Deps:
    """The world's ports, with policies that count in the time of data: ten days of data per second of the clock."""
    began = world.clock()
    data = [began + timedelta(days=10 * second) for second in range(100)]
    lines = [f"{(began + timedelta(seconds=at)).timestamp()} {moment.timestamp()}" for at, moment in enumerate(data)]
    file.write_text("\n".join([*lines, ""]))
    return replace(world.deps, policy_time=ReplayTime(file))


def test_in_a_backtest_the_cool_down_and_the_budget_count_in_the_time_of_the_data(world: World, tmp_path: Path) -> None:
    policy = RetrainPolicy(recipe="fake", cool_down_s=15 * 86_400, max_runs_per_day=1)
    world.client.set_policy("shifts", policy)
    deps, refusals = replayed(world, tmp_path / "replay"), []
    for _ in range(4):
        run = retrain_on_drift(deps, drift(world))
        assert run is not None
        refusals.append(run.refusal)
        if run.state is RunState.REQUESTED:
            with world.runs.session() as session:
                session.save(run.moved(Signal.FAILED, at=world.clock()), world.clock())
        world.clock.advance(1)
    assert refusals == [None, "cool_down", None, "cool_down"], "a run after 20 days, not after 10"


def test_the_budget_counts_the_runs_of_the_last_day(world: World) -> None:
    world.client.set_policy("shifts", RetrainPolicy(recipe="fake", cool_down_s=0, max_runs_per_day=2))
    states = []
    for _ in range(3):
        run = retrain_on_drift(world.deps, drift(world))
        assert run is not None
        states.append(run.refusal or run.state.value)
        if run.state is RunState.REQUESTED:
            with world.runs.session() as session:
                session.save(run.moved(Signal.FAILED, at=world.clock()), world.clock())
        world.clock.advance(3_600)
    assert states == ["requested", "requested", "budget"]
    world.clock.advance(timedelta(days=1).total_seconds())
    run = retrain_on_drift(world.deps, drift(world))
    assert run is not None and run.refusal is None


def test_drift_of_a_version_that_no_longer_serves_is_refused(world: World) -> None:
    world.given_version()
    world.given_version(VersionStage.LIVE)
    run = retrain_on_drift(world.deps, drift(world, model_version=1))
    assert run is not None and (run.refusal, run.reason) == ("version", "version 1 drifted, but version 2 serves now")


def test_a_policy_that_cannot_be_followed_is_refused_with_the_reason(world: World) -> None:
    world.client.set_policy("shifts", RetrainPolicy(recipe="magic"))
    run = retrain_on_drift(world.deps, drift(world))
    assert run is not None and run.state is RunState.REFUSED
    assert "cannot be followed: recipe: 'magic' is unknown" in run.reason


def test_while_the_registry_is_away_a_drift_is_neither_lost_nor_decided(world: World) -> None:
    event = drift(world)
    with world.registry.unavailable(), pytest.raises(RegistryAway) as error:
        retrain_on_drift(world.deps, event)
    assert isinstance(error.value, Retryable)
    assert retrain_on_drift(world.deps, event) is not None


def requested(**changes: object) -> TrainingRunRequested:
    fields = {
        "event_id": uuid4(),
        "occurred_at": "2026-01-01T00:00:00Z",
        "correlation_id": uuid4(),
        "model": "shifts",
        "requested_by": "a test",
        "reason": "because",
    }
    return TrainingRunRequested.model_validate({**fields, **changes})


def test_a_requested_run_begins_once_and_an_impossible_one_is_published_as_refused(world: World) -> None:
    event = requested()
    assert (run := request_run_by_event(world.deps, event)) is not None and run.state is RunState.REQUESTED
    assert request_run_by_event(world.deps, event) is None
    for bad, code in (
        (requested(), "run_open"),
        (requested(recipe="magic"), "bad_run_request"),
        (requested(model="unknown"), "model_not_found"),
    ):
        refused = request_run_by_event(world.deps, bad)
        assert refused is not None and (refused.state, refused.refusal) == (RunState.REFUSED, code)
    assert [one.state.value for one in world.published()] == ["requested", "refused", "refused", "refused"]


def test_a_request_with_a_key_gives_the_same_run_again(world: World) -> None:
    request = RunRequest("shifts", "a test", "test")
    first = request_run(world.deps, request, idempotency_key="k")
    assert request_run(world.deps, request, idempotency_key="k").id == first.id
    with pytest.raises(OpenRun, match=str(first.id)):
        request_run(world.deps, request, idempotency_key="other")
    assert len(world.published()) == 1


def test_a_request_for_an_unknown_model_or_recipe_names_the_field(world: World) -> None:
    with pytest.raises(UnknownModel) as model:
        request_run(world.deps, RunRequest("unknown", "", "test"))
    with pytest.raises(BadRequest) as recipe:
        request_run(world.deps, RunRequest("shifts", "", "test", recipe="magic"))
    assert (model.value.field, recipe.value.field) == ("model", "recipe")


def test_a_missing_package_is_refused_with_the_extra_to_install(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(BadRequest, match=r"needs torch, not installed here; pip install 'modelyard-trainer\[torch\]'"):
        check_recipe(world.deps.recipes, "torch-mlp", {})


def test_a_stale_writer_gets_an_error_and_changes_nothing(world: World) -> None:
    run = request_run(world.deps, RunRequest("shifts", "a test", "test"))
    with world.runs.session() as session:
        session.save(run.changed(progress=0.5), world.clock())
    with pytest.raises(StaleRun), world.runs.session() as session:
        session.save(run.changed(progress=0.1), world.clock())
    assert world.runs.get(run.id).progress == 0.5
    assert [one.revision for one in world.published()] == [1, 2]


def test_an_ended_or_unknown_run_cannot_be_cancelled(world: World) -> None:
    run = request_run(world.deps, RunRequest("shifts", "a test", "test"))
    cancel_run(world.deps, run.id)
    world.drive(run.id)
    with pytest.raises(IllegalMove, match="cancelled cannot be cancelled"):
        cancel_run(world.deps, run.id)
    with pytest.raises(UnknownRun):
        cancel_run(world.deps, uuid4())


def test_a_run_takes_over_the_recipe_of_the_serving_version(world: World) -> None:
    world.client.set_policy("shifts", RetrainPolicy())
    world.given_version(VersionStage.LIVE, recipe="fake")
    run = request_run(world.deps, RunRequest("shifts", "", "test"))
    assert run.recipe == "fake"


def test_without_any_recipe_the_worker_takes_the_built_in_one_for_the_task(world: World) -> None:
    world.client.set_policy("shifts", RetrainPolicy())
    assert request_run(world.deps, RunRequest("shifts", "", "test", dataset_digest=world.dataset)).recipe == "auto"


def test_a_recipe_that_does_not_train_the_requested_task_is_refused(world: World) -> None:
    data = DataSpec(task=Task.REGRESSION)
    with pytest.raises(BadRequest, match="tabular-classifier trains binary and multiclass, not regression"):
        request_run(world.deps, RunRequest("shifts", "", "test", recipe="tabular-classifier", data=data))


def test_a_dataset_that_differs_from_the_signature_is_refused_before_the_run(world: World) -> None:
    world.given_version(VersionStage.LIVE)
    digest = world.client.put_blob(b"rows")
    columns = {"x": "string", "kind": "int64", "label": "string", "occurred_at": "timestamp[us]"}
    world.client.create_dataset(digest, "other", rows=4, size_bytes=4, columns=columns)
    request = RunRequest("shifts", "", "test", dataset_digest=digest)
    with pytest.raises(BadRequest, match=r"column y is missing; column kind is int64, the signature has category"):
        request_run(world.deps, request)
    run = request_run(world.deps, replace(request, data=DataSpec(new_contract=True)))
    assert run.state is RunState.REQUESTED
