"""Recipes: their parameters, required packages and entry points. Importing this module imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from modelyard_contracts import Part
from modelyard_contracts.sentences import explain
from modelyard_contracts.signature import Signature, Task
from modelyard_trainer.domain.errors import BadRequest

AUTO: Final = "auto"
"""Recipe of a run whose task is not known yet: the worker takes the built-in one for the data's task."""
AUTO_METRIC: Final = "auto"
"""Metric of a run whose class balance is not known yet: accuracy, or macro F1 if one class has nearly all rows."""
ClassMetric = Literal["auto", "accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
ValueMetric = Literal["mae", "rmse", "r2"]


def _split(value: object) -> object:
    """`a, b` as ("a", "b"): parameters arrive as strings."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class SelectionParameters(Part):
    """Parameters of recipes that try several candidates."""

    latency_penalty_per_ms: float = Field(default=0.002, ge=0)
    """Subtracted from the metric per millisecond of time for one row: the winner is served row by row."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    window_time_s: float = Field(default=300.0, gt=0, le=86_400)
    """Time for comparing training windows; those not begun by then are left out and named."""

    @field_validator("candidates", mode="after", check_fields=False)
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one candidate")
        return value


class TabularParameters(SelectionParameters):
    """Parameters of `tabular-classifier`, given as strings, such as {"candidates": "logistic,boosting"}."""

    candidates: Annotated[
        tuple[Literal["logistic", "boosting", "boosting-recent", "extra-trees"], ...], BeforeValidator(_split)
    ] = ("logistic", "boosting", "boosting-recent", "extra-trees")
    metric: ClassMetric = AUTO_METRIC
    max_iterations: int = Field(default=60, ge=1, le=2_000)
    """Trees of boosting."""


class RegressorParameters(SelectionParameters):
    """Parameters of `tabular-regressor`."""

    candidates: Annotated[
        tuple[Literal["linear", "boosting", "boosting-recent", "extra-trees"], ...], BeforeValidator(_split)
    ] = ("linear", "boosting", "boosting-recent", "extra-trees")
    metric: ValueMetric = "mae"
    max_iterations: int = Field(default=60, ge=1, le=2_000)
    """Trees of boosting."""


class TextParameters(SelectionParameters):
    """Parameters of `text-classifier`: tf-idf of words and word pairs, and a logistic regression."""

    candidates: Annotated[tuple[Literal["weak", "medium", "strong"], ...], BeforeValidator(_split)] = ("weak", "medium")
    """Strength of the regularisation."""
    metric: ClassMetric = AUTO_METRIC
    max_terms: int = Field(default=20_000, ge=10, le=200_000)
    min_documents: int = Field(default=2, ge=1, le=1_000)
    """Terms of fewer texts are left out."""


class MlpParameters(Part):
    """Parameters of `torch-mlp`."""

    hidden: Annotated[tuple[Annotated[int, Field(ge=1, le=1_024)], ...], BeforeValidator(_split)] = (32, 16)
    epochs: int = Field(default=12, ge=1, le=1_000)
    batch_rows: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    workers: int = Field(default=2, ge=1, le=16)
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """A way to train.

    run: "module:function" with the signature of modelyard_trainer.worker.work.RunRecipe; imported in the worker only.
    tasks, inputs: what it trains. needs: required top-level modules. extra: the extra to install if one is missing.
    shares_ray: it uses worker.ray_session and fits in TRAINER_RAY_CPUS, so it runs in the service's warm Ray.
    preload: a module that the warm Ray's fitters import before the first run, so that no run waits for it.
    """

    name: str
    parameters: type[Part]
    run: str
    tasks: tuple[Task, ...] = (Task.BINARY, Task.MULTICLASS)
    inputs: tuple[Literal["columns", "text"], ...] = ("columns",)
    needs: tuple[str, ...] = ()
    extra: str = ""
    shares_ray: bool = False
    preload: str = ""


PRELOAD: Final = "modelyard_trainer.recipes.preload"
RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "tabular-classifier",
            TabularParameters,
            "modelyard_trainer.recipes.tabular:run",
            needs=("sklearn", "ray"),
            shares_ray=True,
            preload=PRELOAD,
        ),
        Recipe(
            "tabular-regressor",
            RegressorParameters,
            "modelyard_trainer.recipes.tabular:run",
            tasks=(Task.REGRESSION,),
            needs=("sklearn", "ray"),
            shares_ray=True,
            preload=PRELOAD,
        ),
        Recipe(
            "text-classifier",
            TextParameters,
            "modelyard_trainer.recipes.text:run",
            inputs=("text",),
            needs=("sklearn", "ray"),
            shares_ray=True,
            preload=PRELOAD,
        ),
        Recipe(
            "torch-mlp",
            MlpParameters,
            "modelyard_trainer.recipes.mlp:run",
            needs=("torch", "ray", "safetensors"),
            extra="torch",
        ),
    )
}


def default_recipe(signature: Signature) -> str:
    """The built-in recipe for a signature."""
    if signature.task is Task.REGRESSION:
        return "tabular-regressor"
    return "text-classifier" if signature.input == "text" else "tabular-classifier"


def check_fits(recipe: Recipe, signature: Signature) -> None:
    """BadRequest if the recipe does not train the task or the input of a signature."""
    if signature.task in recipe.tasks and signature.input in recipe.inputs:
        return
    better = default_recipe(signature)
    use = "" if better == recipe.name else f"; use {better}"
    raise BadRequest(
        f"recipe: {recipe.name} trains {' and '.join(recipe.tasks)} from {' and '.join(recipe.inputs)}, not "
        f"{signature.task} from {signature.input}{use}",
        field="recipe",
    )


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
        explained = explain([{**first, "loc": (name,)}], "parameters")
        raise BadRequest(explained.sentence, field=explained.field) from error
