"""Build the first revision of a run, after checking its recipe."""

import importlib.util
from collections.abc import Mapping
from uuid import UUID

from modelyard_contracts import RunState
from modelyard_contracts.policies import RetrainPolicy
from modelyard_runtime.errors import ModelyardError
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.policy import Refusal
from modelyard_trainer.domain.ports import Served
from modelyard_trainer.domain.recipes import AUTO, Recipe, parse_parameters, recipe_named
from modelyard_trainer.domain.run import REQUEST_TRIGGER, Run
from modelyard_trainer.usecases.deps import Deps, RunRequest


def check_recipe(recipes: Mapping[str, Recipe], name: str, parameters: Mapping[str, str]) -> None:
    """BadRequest if the recipe is unknown, a parameter is wrong, or a package is missing (it names the extra)."""
    if name == AUTO:
        return
    recipe = recipe_named(name, recipes)
    parse_parameters(recipe, parameters)
    missing = [module for module in recipe.needs if importlib.util.find_spec(module) is None]
    if missing:
        extra = f"[{recipe.extra}]" if recipe.extra else ""
        raise BadRequest(
            f"recipe: {name} needs {' and '.join(missing)}, not installed here; pip install 'modelyard-trainer{extra}'",
            field="recipe",
        )


def unusable(deps: Deps, request: RunRequest) -> Refusal | None:
    """Refuse a recipe of the policy that this trainer cannot run; the cause is then recorded, not lost."""
    try:
        check_recipe(deps.recipes, request.recipe or AUTO, request.parameters)
    except ModelyardError as error:
        return Refusal(error.code, f"the retraining policy cannot be followed: {error}")
    return None


def recipe_of(deps: Deps, request: RunRequest, policy: RetrainPolicy, served: Served | None) -> str:
    """The recipe of a run: requested, else the policy's, else the serving version's, else by the data's task.

    A request for another task or a new signature does not take over the serving version's recipe.
    """
    named = request.recipe or policy.recipe
    if named is not None or served is None or request.data.new_contract:
        return named or AUTO
    same_task = request.data.task in (None, served.signature.task)
    return served.recipe if same_task and served.recipe in deps.recipes else AUTO


def create_run(
    deps: Deps, run_id: UUID, request: RunRequest, policy: RetrainPolicy, trigger: str = REQUEST_TRIGGER
) -> Run:
    """A requested run, as of now."""
    now = deps.clock()
    return Run(
        id=run_id,
        model=request.model,
        recipe=request.recipe or policy.recipe or AUTO,
        trigger=trigger,
        why=request.reason,
        requested_by=request.requested_by,
        parameters=dict(request.parameters),
        policy=policy,
        correlation_id=request.correlation_id or run_id,
        cause_id=request.cause_id,
        windows=request.windows,
        change_at=request.change_at,
        data=request.data,
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
