"""Recipes: their parameters, required packages and entry points. Importing this module imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from pydantic import Field, ValidationError, field_validator

from modelyard_contracts import Part
from modelyard_trainer.domain.errors import BadRequest

Candidate = Literal["logistic", "boosting", "boosting-recent", "extra-trees"]
CANDIDATES: Final[tuple[Candidate, ...]] = get_args(Candidate)
DEFAULT_RECIPE: Final = "tabular-classifier"


class TabularParameters(Part):
    """Parameters of `tabular-classifier`, given as strings, such as {"candidates": "logistic,boosting"}."""

    candidates: tuple[Candidate, ...] = ("logistic", "boosting", "boosting-recent", "extra-trees")
    metric: Literal["accuracy", "balanced_accuracy", "log_loss"] = "accuracy"
    latency_penalty_per_ms: float = Field(default=0.002, ge=0)
    """Subtracted from the metric per millisecond of time for one row: the winner is served row by row."""
    max_iterations: int = Field(default=60, ge=1, le=2_000)
    """Trees of boosting."""
    seed: int = 0

    @field_validator("candidates", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("candidates")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one candidate")
        return value


class MlpParameters(Part):
    """Parameters of `torch-mlp`."""

    hidden: tuple[Annotated[int, Field(ge=1, le=1_024)], ...] = (32, 16)
    epochs: int = Field(default=12, ge=1, le=1_000)
    batch_rows: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    workers: int = Field(default=2, ge=1, le=16)
    seed: int = 0

    @field_validator("hidden", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


@dataclass(frozen=True)
class Recipe:
    """A way to train.

    run: "module:function" with the signature of modelyard_trainer.worker.work.RunRecipe; imported in the worker only.
    needs: required top-level modules. extra: the extra to install if one is missing.
    shares_ray: it uses worker.ray_session and fits in TRAINER_RAY_CPUS, so it runs in the service's warm Ray.
    preload: a module that the warm Ray's fitters import before the first run, so that no run waits for it.
    """

    name: str
    parameters: type[Part]
    run: str
    needs: tuple[str, ...] = ()
    extra: str = ""
    shares_ray: bool = False
    preload: str = ""


RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "tabular-classifier",
            TabularParameters,
            "modelyard_trainer.recipes.tabular:run",
            ("sklearn", "ray"),
            shares_ray=True,
            preload="modelyard_trainer.recipes.preload",
        ),
        Recipe(
            "torch-mlp", MlpParameters, "modelyard_trainer.recipes.mlp:run", ("torch", "ray", "safetensors"), "torch"
        ),
    )
}


def recipe_named(name: str, recipes: Mapping[str, Recipe]) -> Recipe:
    """Return the recipe; BadRequest listing the known names if there is none."""
    if name not in recipes:
        raise BadRequest(f"recipe: {name!r} is unknown; known are {', '.join(sorted(recipes))}", field="recipe")
    return recipes[name]


def parse_parameters(recipe: Recipe, given: Mapping[str, str]) -> Part:
    """Parse the recipe's parameters from strings; BadRequest names the first wrong one."""
    try:
        return recipe.parameters.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "parameters"
        if first["type"] == "extra_forbidden":
            known = ", ".join(recipe.parameters.model_fields)
            raise BadRequest(
                f"parameters.{name}: recipe {recipe.name} has no such parameter; it has {known}",
                field=f"parameters.{name}",
            ) from error
        raise BadRequest(f"parameters.{name}: {first['msg']}", field=f"parameters.{name}") from error
