"""The recipes of this installation: the built-in ones and those of TRAINER_RECIPES."""

import importlib
from collections.abc import Mapping

from modelyard_runtime.errors import StartupError
from modelyard_trainer.domain.recipes import RECIPES, Recipe


def known_recipes(more: Mapping[str, str]) -> Mapping[str, Recipe]:
    """Return built-in recipes and those of {name: "module:RECIPE"}; StartupError names one that cannot be loaded."""
    found = dict(RECIPES)
    for name, target in more.items():
        module, _, attribute = target.partition(":")
        try:
            recipe = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise StartupError(f"TRAINER_RECIPES: {name}: cannot find {target} ({error}); give module:NAME") from error
        if not isinstance(recipe, Recipe) or recipe.name != name:
            raise StartupError(f"TRAINER_RECIPES: {name}: {target} is no Recipe of that name")
        found[name] = recipe
    return found
