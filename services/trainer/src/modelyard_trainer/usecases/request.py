"""Request a run, by HTTP or by an event."""

from dataclasses import replace
from uuid import UUID, uuid4

from modelyard_contracts import TrainingRunRequested, derived_id
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.data import describe, differences
from modelyard_trainer.domain.errors import BadRequest, OpenRun, UnknownModel
from modelyard_trainer.domain.policy import Refusal
from modelyard_trainer.domain.ports import Served
from modelyard_trainer.domain.recipes import AUTO
from modelyard_trainer.domain.run import REQUEST_TRIGGER, Run
from modelyard_trainer.usecases.create import check_recipe, create_run, recipe_of, refused_run
from modelyard_trainer.usecases.deps import Deps, RunRequest


def request_run(deps: Deps, request: RunRequest, *, idempotency_key: str | None = None) -> Run:
    """Create a run; BadRequest, UnknownModel or OpenRun if it cannot start. The same key returns the same run."""
    run_id = derived_id("run", request.model, idempotency_key) if idempotency_key else uuid4()
    with deps.runs.session() as session:
        if (known := session.get(run_id)) is not None:
            return known
    run = _checked_run(deps, run_id, request)
    with deps.runs.session() as session:
        if (known := session.get(run_id)) is not None:
            return known
        session.add(run, run.created_at)
    return run


def request_run_by_event(deps: Deps, event: TrainingRunRequested) -> Run | None:
    """Create a run, or a refused run if it cannot start. None if the event was handled before."""
    request = _request_of(event)
    run_id = derived_id("run-of-event", event.event_id)
    try:
        run = _checked_run(deps, run_id, request)
    except (BadRequest, UnknownModel) as error:
        run = refused_run(
            deps, run_id, request, Refusal(error.code, str(error)), RetrainPolicy(), trigger=REQUEST_TRIGGER
        )
    with deps.runs.session() as session:
        if not session.claim(event.event_id):
            return None
        try:
            session.add(run, run.created_at)
        except OpenRun as error:
            refusal = Refusal(error.code, str(error))
            run = refused_run(deps, run_id, request, refusal, run.policy, trigger=REQUEST_TRIGGER)
            session.add(run, run.created_at)
    return run


def _request_of(event: TrainingRunRequested) -> RunRequest:
    return RunRequest(
        model=event.model,
        reason=event.reason,
        requested_by=event.requested_by,
        recipe=event.recipe,
        dataset_digest=event.dataset_digest,
        parameters=event.parameters,
        correlation_id=event.correlation_id,
        cause_id=event.event_id,
    )


def _checked_run(deps: Deps, run_id: UUID, request: RunRequest) -> Run:
    policy = deps.registry.retrain_policy(request.model)
    if policy is None:
        raise UnknownModel(request.model)
    served = deps.registry.served(request.model)
    request = replace(request, recipe=recipe_of(deps, request, policy, served))
    check_recipe(deps.recipes, request.recipe or AUTO, request.parameters)
    _check_task(deps, request)
    if served is not None and not request.data.new_contract:
        _check_columns(deps, request, served)
    return create_run(deps, run_id, request, policy)


def _check_task(deps: Deps, request: RunRequest) -> None:
    recipe, task = deps.recipes.get(request.recipe or AUTO), request.data.task
    if recipe is not None and task is not None and task not in recipe.tasks:
        raise BadRequest(
            f"recipe: {recipe.name} trains {' and '.join(recipe.tasks)}, not {task}; leave the recipe out to get the "
            "built-in one",
            field="recipe",
        )


def _check_columns(deps: Deps, request: RunRequest, served: Served) -> None:
    """BadRequest with every column of the dataset that differs from the serving version's signature."""
    columns = None if request.dataset_digest is None else deps.registry.dataset_columns(request.dataset_digest)
    found = differences(served.signature, columns) if columns is not None else []
    if found:
        raise BadRequest(describe(found), field="dataset_digest")
