"""Pure rules: states, policy, next step, split, parameters."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from modelyard_contracts import DriftDetected, DriftKind, RunState, Severity
from modelyard_contracts.messages.training import FINAL_RUN_STATES
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.errors import BadRequest, IllegalMove
from modelyard_trainer.domain.policy import Facts, Refusal, refuse, should_publish
from modelyard_trainer.domain.recipes import RECIPES, TabularParameters, parse_parameters, recipe_named
from modelyard_trainer.domain.reconcile import Action, Observed, next_step
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.split import split_rows
from modelyard_trainer.domain.states import MOVES, Signal, next_state

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_every_pair_of_state_and_signal_moves_or_is_refused() -> None:
    for state, signal in product(RunState, Signal):
        if (state, signal) in MOVES:
            assert next_state(state, signal) is MOVES[state, signal]
        else:
            with pytest.raises(IllegalMove, match=state.value):
                next_state(state, signal)


def test_no_final_state_moves_and_every_open_one_can_end() -> None:
    for state in FINAL_RUN_STATES:
        assert not any(of is state for of, _ in MOVES)
    for state in set(RunState) - FINAL_RUN_STATES:
        assert next_state(state, Signal.FAILED) is RunState.FAILED


def test_a_run_that_is_being_registered_cannot_be_cancelled() -> None:
    with pytest.raises(IllegalMove, match="registering cannot be cancelled"):
        next_state(RunState.REGISTERING, Signal.CANCELLED)


def a_drift(**changes: Any) -> DriftDetected:
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": NOW,
        "correlation_id": uuid4(),
        "model": "shifts",
        "model_version": 3,
        "model_digest": "sha256:" + "0" * 64,
        "kind": DriftKind.PERFORMANCE,
        "subject": "error_rate",
        "detector": "adwin",
        "severity": Severity.WARNING,
        "reason": "worse",
        "statistic": 1.0,
        "threshold": 0.5,
        "reference_rows": 10,
        "current_rows": 10,
        "window_start": NOW,
        "window_end": NOW,
    }
    return DriftDetected(**{**fields, **changes})


QUIET = Facts(open_run=None, last_ended_at=None, runs_in_window=0, serving_version=3)
POLICY = RetrainPolicy(cool_down_s=300, max_runs_per_day=2)


@pytest.mark.parametrize(
    ("code", "drift", "policy", "facts"),
    [
        (None, {}, {}, QUIET),
        (None, {}, {}, Facts(None, NOW - timedelta(seconds=300), 1, 3)),
        (None, {"model_version": 1}, {}, Facts(None, None, 0, None)),
        ("disabled", {}, {"enabled": False}, QUIET),
        ("kind", {"kind": DriftKind.FEATURE}, {}, QUIET),
        ("severity", {"severity": Severity.INFO}, {}, QUIET),
        ("severity", {}, {"min_severity": Severity.CRITICAL}, QUIET),
        ("recommendation", {"kind": DriftKind.SCORE, "recommendation": "wait_for_labels"}, {}, QUIET),
        ("recommendation", {"kind": DriftKind.SCORE, "recommendation": "of a newer release"}, {}, QUIET),
        (None, {"kind": DriftKind.SCORE, "recommendation": "retrain"}, {}, QUIET),
        (None, {"kind": DriftKind.SCORE, "recommendation": ""}, {}, QUIET),
        (None, {"kind": DriftKind.SCORE, "recommendation": "wait_for_labels"}, {"react_to": "all"}, QUIET),
        (None, {"kind": DriftKind.PERFORMANCE, "recommendation": "roll_back"}, {}, QUIET),
        ("version", {"model_version": 2}, {}, QUIET),
        ("open_run", {}, {}, Facts("r-1", None, 0, 3)),
        ("cool_down", {}, {}, Facts(None, NOW - timedelta(seconds=299), 1, 3)),
        ("budget", {}, {}, Facts(None, NOW - timedelta(hours=2), 2, 3)),
        ("budget", {}, {"max_runs_per_day": 0}, QUIET),
    ],
)
def test_a_drift_becomes_a_run_unless_a_rule_refuses_it(
    code: str | None, drift: dict[str, Any], policy: dict[str, Any], facts: Facts
) -> None:
    refusal = refuse(a_drift(**drift), POLICY.model_copy(update=policy), facts, NOW)
    assert (refusal.code if refusal else None) == code


def test_a_refusal_is_published_once_per_cool_down() -> None:
    refusal = Refusal("cool_down", "too soon")
    assert should_publish(refusal, None, POLICY, NOW)
    assert not should_publish(refusal, NOW - timedelta(seconds=299), POLICY, NOW)
    assert should_publish(refusal, NOW - timedelta(seconds=300), POLICY, NOW)


def a_run(state: RunState, **changes: Any) -> Run:
    return Run(
        id=uuid4(), model="m", recipe="fake", state=state, correlation_id=uuid4(), as_of=NOW, created_at=NOW, **changes
    )


def test_every_open_run_has_a_next_step_for_every_observation() -> None:
    for state, alive, result, failure, free, cancel, overdue in product(
        RunState, (True, False), (True, False), (None, "no"), (True, False), (True, False), (True, False)
    ):
        run = a_run(state, cancel_requested=cancel, attempt=1)
        step = next_step(run, Observed(alive, result, failure), free_slot=free, max_attempts=3, overdue=overdue)
        assert (step.action is Action.WAIT) or not state.final
        if state is RunState.REGISTERING:
            assert step.action is Action.REGISTER
        if step.action is Action.START_WORKER:
            assert (free and not alive and not result and not cancel) or state is RunState.REQUESTED


def test_a_dead_worker_is_restarted_until_all_attempts_are_used() -> None:
    dead = Observed(worker_alive=False, result=False, failure=None)
    actions = [
        next_step(a_run(RunState.TRAINING, attempt=n), dead, free_slot=True, max_attempts=3).action for n in (1, 2, 3)
    ]
    assert actions == [Action.START_WORKER, Action.START_WORKER, Action.FAIL]


def test_a_failure_reported_by_the_worker_is_not_retried() -> None:
    refused = Observed(worker_alive=False, result=False, failure="one class only")
    step = next_step(a_run(RunState.TRAINING, attempt=1), refused, free_slot=True, max_attempts=3)
    assert (step.action, step.reason) == (Action.FAIL, "one class only")


def test_the_split_keeps_the_newest_rows_and_at_most_a_fifth_of_them() -> None:
    # by hand: 4000 - 500 = 3500 used, a fifth of them (700) validates; of 1000 rows only 200 are kept
    assert (split_rows(4_000, 500).train, split_rows(4_000, 500).used) == (2_800, 3_500)
    assert (split_rows(1_000, 500).train, split_rows(1_000, 500).used) == (640, 800)
    # 500 live rows before which 3500 older ones were put: 100 are kept, so 400 are learned from
    assert split_rows(4_000, 500, live_rows=500).used == 3_900
    with pytest.raises(BadRequest, match="99 labelled rows; at least 100"):
        split_rows(99, 50)


def test_parameters_are_read_from_strings() -> None:
    recipe = recipe_named("tabular-classifier", RECIPES)
    parsed = parse_parameters(recipe, {"candidates": "logistic, boosting", "max_iterations": "20"})
    assert isinstance(parsed, TabularParameters)
    assert (parsed.candidates, parsed.max_iterations) == (("logistic", "boosting"), 20)
    assert parse_parameters(recipe_named("torch-mlp", RECIPES), {"hidden": "8,4"}).model_dump()["hidden"] == (8, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"max_itertions": "20"},
            "parameters.max_itertions: recipe tabular-classifier has no such parameter; it has latency",
        ),
        ({"max_iterations": "many"}, "parameters.max_iterations: "),
        ({"candidates": "svm"}, "parameters.candidates: "),
        ({"candidates": ""}, "parameters.candidates: .*at least one"),
    ],
)
def test_a_wrong_parameter_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse_parameters(recipe_named("tabular-classifier", RECIPES), given)


def test_an_unknown_recipe_error_lists_the_known_ones() -> None:
    with pytest.raises(BadRequest, match="'magic' is unknown; known are tabular-classifier, tabular-regressor, text-c"):
        recipe_named("magic", RECIPES)
