"""What the trainer does, whoever asks; opens nothing, is handed Deps."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from modelyard_contracts import DriftDetected, RunState, TrainingRunRequested, derived_id
from modelyard_contracts.policies import RetrainPolicy
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import ModelyardError, NotFound
from modelyard_trainer.domain.errors import BadRequest, OpenRun, UnknownRun
from modelyard_trainer.domain.policy import BUDGET_WINDOW, Refusal, refuse, worth_telling
from modelyard_trainer.domain.ports import Registry, Runs, Session
from modelyard_trainer.domain.recipes import Recipe, parse_parameters, recipe_named
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.states import Signal, next_state


@dataclass(frozen=True)
class Deps:
    """Ports, clock, and what may be trained."""

    runs: Runs
    registry: Registry
    recipes: Mapping[str, Recipe]
    clock: Clock


@dataclass(frozen=True)
class Wanted:
    """A run as it is asked for."""

    model: str
    reason: str
    requested_by: str
    recipe: str | None = None
    dataset_digest: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    correlation_id: UUID | None = None
    cause_id: UUID | None = None


class UnknownModel(NotFound):
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"the registry has no model {model}; create it first", field="model")


def request_run(deps: Deps, wanted: Wanted, *, idempotency_key: str | None = None) -> Run:
    """Begin a run, or refuse with an error that says why. The same key gives the same run."""
    run_id = derived_id("run", wanted.model, idempotency_key) if idempotency_key else uuid4()
    with deps.runs.session() as session:
        if (known := session.get(run_id)) is not None:
            return known
    run = _new_run(deps, run_id, wanted)
    with deps.runs.session() as session:
        if (known := session.get(run_id)) is not None:
            return known
        session.add(run, run.created_at)
    return run


def run_requested(deps: Deps, event: TrainingRunRequested) -> Run | None:
    """An event asked for a run; what cannot be is told as a refused run. None: seen before."""
    wanted = Wanted(
        model=event.model,
        reason=event.reason,
        requested_by=event.requested_by,
        recipe=event.recipe,
        dataset_digest=event.dataset_digest,
        parameters=event.parameters,
        correlation_id=event.correlation_id,
        cause_id=event.event_id,
    )
    run_id = derived_id("run-of-event", event.event_id)
    try:
        run = _new_run(deps, run_id, wanted)
    except (BadRequest, UnknownModel) as error:
        run = _refused(deps, run_id, wanted, Refusal(error.code, str(error)), RetrainPolicy(), trigger="request")
    with deps.runs.session() as session:
        if not session.claim(event.event_id):
            return None
        try:
            session.add(run, run.created_at)
        except OpenRun as error:
            run = _refused(deps, run_id, wanted, Refusal(error.code, str(error)), run.policy, trigger="request")
            session.add(run, run.created_at)
    return run


def drift_detected(deps: Deps, event: DriftDetected) -> Run | None:
    """A drift becomes a run, a refused run, or, when the same refusal was told a moment ago, nothing (None)."""
    policy = deps.registry.retrain_policy(event.model)
    if policy is None:
        raise UnknownModel(event.model)
    serving = deps.registry.serving_version(event.model)
    now = deps.clock()
    wanted = Wanted(
        model=event.model,
        reason=event.reason,
        requested_by="drift",
        recipe=policy.recipe,
        parameters=policy.parameters,
        correlation_id=event.correlation_id,
        cause_id=event.event_id,
    )
    run_id = derived_id("run-of-event", event.event_id)
    with deps.runs.session() as session:
        if not session.claim(event.event_id):
            return None
        facts = replace(session.facts(event.model, now, BUDGET_WINDOW), serving_version=serving)
        refusal = refuse(event, policy, facts, now) or _impossible(deps, policy)
        if refusal is None:
            run = _run(deps, run_id, wanted, policy, trigger=event.kind.value)
        elif worth_telling(refusal, session.last_refusal(event.model, refusal.code), policy, now):
            run = _refused(deps, run_id, wanted, refusal, policy, trigger=event.kind.value)
        else:
            return None
        session.add(run, now)
    return run


def cancel_run(deps: Deps, run_id: UUID) -> Run:
    """Ask for the end; the supervisor kills the worker and then says cancelled. IllegalMove when it is too late."""
    with deps.runs.session() as session:
        run = _existing(session, run_id)
        next_state(run.state, Signal.CANCELLED)
        if run.cancel_requested:
            return run
        run = run.told(cancel_requested=True, reason="is being cancelled")
        session.save(run, deps.clock())
    return run


def _existing(session: Session, run_id: UUID) -> Run:
    if (run := session.get(run_id)) is None:
        raise UnknownRun(run_id)
    return run


def _new_run(deps: Deps, run_id: UUID, wanted: Wanted) -> Run:
    """A run that could work; BadRequest or UnknownModel otherwise."""
    policy = deps.registry.retrain_policy(wanted.model)
    if policy is None:
        raise UnknownModel(wanted.model)
    check_recipe(deps.recipes, wanted.recipe or policy.recipe, wanted.parameters)
    return _run(deps, run_id, wanted, policy)


def check_recipe(recipes: Mapping[str, Recipe], name: str, parameters: Mapping[str, str]) -> None:
    """BadRequest when the recipe is unknown, a parameter is wrong, or a package is missing (it names the extra)."""
    recipe = recipe_named(name, recipes)
    parse_parameters(recipe, parameters)
    missing = [module for module in recipe.needs if importlib.util.find_spec(module) is None]
    if missing:
        extra = f"[{recipe.extra}]" if recipe.extra else ""
        raise BadRequest(
            f"recipe: {name} needs {' and '.join(missing)}, not installed here; pip install 'modelyard-trainer{extra}'",
            field="recipe",
        )


def _impossible(deps: Deps, policy: RetrainPolicy) -> Refusal | None:
    """A policy can name a recipe that this trainer cannot run; then the drift is refused, not lost."""
    try:
        check_recipe(deps.recipes, policy.recipe, policy.parameters)
    except ModelyardError as error:
        return Refusal(error.code, f"the retraining policy cannot be followed: {error}")
    return None


def _run(deps: Deps, run_id: UUID, wanted: Wanted, policy: RetrainPolicy, trigger: str = "request") -> Run:
    now = deps.clock()
    return Run(
        id=run_id,
        model=wanted.model,
        recipe=wanted.recipe or policy.recipe,
        trigger=trigger,
        why=wanted.reason,
        requested_by=wanted.requested_by,
        parameters=dict(wanted.parameters),
        policy=policy,
        correlation_id=wanted.correlation_id or run_id,
        cause_id=wanted.cause_id,
        given_dataset=wanted.dataset_digest,
        as_of=now,
        created_at=now,
    )


def _refused(deps: Deps, run_id: UUID, wanted: Wanted, refusal: Refusal, policy: RetrainPolicy, *, trigger: str) -> Run:
    run = _run(deps, run_id, wanted, policy, trigger)
    ended = {"state": RunState.REFUSED, "ended_at": run.created_at, "reason": refusal.reason, "refusal": refusal.code}
    return run.model_copy(update=ended)
