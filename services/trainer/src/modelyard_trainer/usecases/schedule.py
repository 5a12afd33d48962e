"""Follow the schedules of retraining policies."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from modelyard_trainer.domain.policy import Refusal, refuse_by_timing
from modelyard_trainer.domain.ports import Schedules
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.schedule import SCHEDULE_TRIGGER, Schedule, Turn
from modelyard_trainer.usecases.create import create_run, recipe_of, refused_run, unusable
from modelyard_trainer.usecases.deps import Deps, RunRequest
from modelyard_trainer.usecases.timing import facts_of, is_news

WAITING = ("open_run", "cool_down")
"""Refusals that end by themselves soon: the schedule waits without a refused run."""


def follow_schedule(deps: Deps, schedules: Schedules, model: str) -> Schedule | None:
    """Store the schedule of the model's policy, or forget it. Safe to repeat."""
    policy = deps.registry.retrain_policy(model)
    known = schedules.get(model) or Schedule(model=model, since=deps.clock())
    schedule = None if policy is None else known.following(policy)
    if schedule is None:
        schedules.remove(model)
    else:
        schedules.put(schedule)
    return schedule


def retrain_on_schedule(deps: Deps, schedules: Schedules, turn: Turn, labels: Mapping[str, int]) -> Run | None:
    """Create the run that a turn is due for, if its policy still asks for it; None if not, or not yet.

    labels: number per model since `turn.since`. A repeat creates nothing: the run's id follows from the turn.
    """
    model = turn.schedule.model
    schedule = follow_schedule(deps, schedules, model)
    now, policy = deps.clock(), deps.registry.retrain_policy(model)
    if schedule is None or policy is None:
        return None
    reason = replace(turn, schedule=schedule).due(now, labels.get(model, 0), deps.policy_time)
    if not reason:
        return None
    request = RunRequest(
        model=model, reason=reason, requested_by="schedule", recipe=policy.recipe, parameters=policy.parameters
    )
    request = replace(request, recipe=recipe_of(deps, request, policy, deps.registry.served(model)))
    with deps.runs.session() as session:
        if session.get(turn.run_id) is not None:
            return None
        facts = facts_of(deps, session, model, now)
        refusal: Refusal | None = refuse_by_timing(policy, facts, deps.policy_time(now)) or unusable(deps, request)
        if refusal is None:
            run = create_run(deps, turn.run_id, request, policy, trigger=SCHEDULE_TRIGGER)
        elif refusal.code not in WAITING and is_news(deps, session, model, refusal, policy, now):
            run = refused_run(deps, uuid4(), request, refusal, policy, trigger=SCHEDULE_TRIGGER)
        else:
            return None
        session.add(run, now)
    return run
