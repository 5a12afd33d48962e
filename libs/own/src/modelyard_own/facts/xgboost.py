"""Facts of an XGBoost model in JSON; of one in UBJSON, none are read."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from modelyard_contracts.signature import Task
from modelyard_own.facts.known import Facts
from modelyard_own.files import ModelFile

MAX_BYTES: Final = 512 * 1024 * 1024


def facts_of(files: Sequence[ModelFile]) -> Facts:
    """Read objective, features and number of classes of the booster."""
    for file in files:
        if file.source.stat().st_size > MAX_BYTES:
            continue
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return _facts(json.loads(file.source.read_bytes())["learner"])
    return Facts()


def _facts(learner: Mapping[str, Any]) -> Facts:
    objective = str(learner["objective"]["name"])
    parameters = learner["learner_model_param"]
    names = tuple(str(name) for name in learner.get("feature_names") or ())
    classes = _class_count(objective, int(parameters.get("num_class", 0)))
    return Facts(
        task=_task(objective, classes),
        class_count=classes,
        features=names,
        feature_count=int(parameters["num_feature"]) or None,
        evidence=f"objective {objective}",
    )


def _class_count(objective: str, count: int) -> int | None:
    if objective.startswith("multi:"):
        return count
    return 2 if objective.startswith("binary:") else None


def _task(objective: str, classes: int | None) -> Task | None:
    if classes is not None:
        return Task.BINARY if objective.startswith("binary:") else Task.MULTICLASS
    return Task.REGRESSION if objective.startswith(("reg:", "count:")) else None
