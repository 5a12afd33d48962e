"""Build the first revision of a run, after checking its recipe."""

import importlib.util
from collections.abc import Mapping
from uuid import UUID

from modelyard_contracts import RunState
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.policy import Refusal
from modelyard_trainer.domain.recipes import DEFAULT_RECIPE, Recipe, parse_parameters, recipe_named
from modelyard_trainer.domain.run import REQUEST_TRIGGER, Run
from modelyard_trainer.usecases.deps import Deps, RunRequest


def check_recipe(recipes: Mapping[str, Recipe], name: str, parameters: Mapping[str, str]) -> None:
    """BadRequest if the recipe is unknown, a parameter is wrong, or a package is missing (it names the extra)."""
    recipe = recipe_named(name, recipes)
    parse_parameters(recipe, parameters)
    missing = [module for module in recipe.needs if importlib.util.find_spec(module) is None]
    if missing:
        extra = f"[{recipe.extra}]" if recipe.extra else ""
        raise BadRequest(
            f"recipe: {name} needs {' and '.join(missing)}, not installed here; pip install 'modelyard-trainer{extra}'",
            field="recipe",
        )


def create_run(
    deps: Deps, run_id: UUID, request: RunRequest, policy: RetrainPolicy, trigger: str = REQUEST_TRIGGER
) -> Run:
    """A requested run, as of now."""
    now = deps.clock()
    return Run(
        id=run_id,
        model=request.model,
        recipe=request.recipe or policy.recipe or DEFAULT_RECIPE,
        trigger=trigger,
        why=request.reason,
        requested_by=request.requested_by,
        parameters=dict(request.parameters),
        policy=policy,
        correlation_id=request.correlation_id or run_id,
        cause_id=request.cause_id,
        given_dataset=request.dataset_digest,
        as_of=now,
        created_at=now,
    )


def refused_run(
    deps: Deps, run_id: UUID, request: RunRequest, refusal: Refusal, policy: RetrainPolicy, *, trigger: str
) -> Run:
    """A run that ended before it started, with the rule that refused it."""
    run = create_run(deps, run_id, request, policy, trigger)
    ended = {"state": RunState.REFUSED, "ended_at": run.created_at, "reason": refusal.reason, "refusal": refusal.code}
    return run.model_copy(update=ended)
