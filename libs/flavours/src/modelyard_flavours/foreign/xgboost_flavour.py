"""Flavour `xgboost`: a booster saved with `save_model` as JSON or UBJSON; its objective decides what it answers.

Classes are the numbers 0, 1, ... that training used, in the order of the signature. As in the scikit-learn interface of
the library, only the trees up to the best iteration count after an early stop.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_contracts.signature import Task
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign.coded import CATEGORIES_MEANING, CATEGORIES_OPTION, CodedColumns, stated_categories
from modelyard_flavours.foreign.outputs import LABELS, LOGITS, PROBABILITIES, Outputs
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version, imported, versions_of

NAME: Final = "xgboost"
SUFFIXES: Final = frozenset({".json", ".ubj"})
OPTIONS: Final[Mapping[str, str]] = {
    MODEL_OPTION: "path of the booster, if several files could be it",
    CATEGORIES_OPTION: CATEGORIES_MEANING,
}
_CLASSIFIERS: Final = {
    "binary:logistic": PROBABILITIES,
    "binary:logitraw": LOGITS,
    "binary:hinge": LABELS,
    "multi:softprob": PROBABILITIES,
    "multi:softmax": LOGITS,
}
"""Objective to what is read from it; `softmax` answers labels by itself, so its margins are read."""
_REGRESSORS: Final = ("reg:", "count:", "survival:")


class XgboostPredictor:
    """A loaded booster. Called by one thread, which is also its only one."""

    def __init__(self, booster: Any, version: Version) -> None:
        self._booster, self.classes = booster, version.signature.classes
        objective = _objective(booster)
        self._margins = _CLASSIFIERS.get(objective) == LOGITS
        self._outputs = Outputs(version.signature, _meaning(objective, version))
        self._columns = CodedColumns(version, booster.feature_names, _categories(booster) | stated_categories(version))
        self.shape = self._columns.shape
        best = booster.attr("best_iteration")
        self._iterations = (0, int(best) + 1) if best is not None else (0, 0)

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        if not len(numeric):  # the library refuses an empty matrix
            return self._outputs.empty()
        raw = self._booster.inplace_predict(
            self._columns.matrix(numeric, categorical),
            iteration_range=self._iterations,
            predict_type="margin" if self._margins else "value",
            validate_features=False,  # a matrix has no names; the order was checked at the load
        )
        return self._outputs.of(raw)


def check(version: Version) -> None:
    """Inadmissible unless one file can be the booster and the options are known."""
    version.require_options(OPTIONS)
    version.model_file(SUFFIXES)


def load(version: Version) -> XgboostPredictor:
    """Build the predictor."""
    check(version)
    booster = imported(NAME, "xgboost").Booster()
    file = version.model_file(SUFFIXES)
    # By the bytes, whatever the file is called, the library finds out itself whether they are JSON or UBJSON.
    booster.load_model(str(file) if file.suffix in SUFFIXES else bytearray(file.read_bytes()))
    booster.set_param({"nthread": 1, "device": "cpu"})
    return XgboostPredictor(booster, version)


def _objective(booster: Any) -> str:
    name: str = json.loads(booster.save_config())["learner"]["objective"]["name"]
    return name


def _meaning(objective: str, version: Version) -> str:
    """What the output holds; Inadmissible if the objective does not fit the task."""
    regression = version.signature.task is Task.REGRESSION
    fits = objective.startswith(_REGRESSORS) if regression else objective in _CLASSIFIERS
    if objective == "reg:logistic" and not regression:  # the older name of binary:logistic
        return PROBABILITIES
    if not fits:
        raise Inadmissible(
            "model", f"has the objective {objective}, which does not fit the task {version.signature.task}"
        )
    return _CLASSIFIERS.get(objective, PROBABILITIES)


def _categories(booster: Any) -> dict[str, list[Any]]:
    """Column to its categories, as files since release 3.1 hold them; empty if there are none."""
    names, types = booster.feature_names or (), booster.feature_types or ()
    if "c" not in types:
        return {}
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"].get("model", {})
    stored = model.get("cats", {}).get("enc", [])
    return {name: _decoded(one) for name, one, kind in zip(names, stored, types, strict=False) if kind == "c"}


def _decoded(stored: Mapping[str, Any]) -> list[Any]:
    """Texts are bytes with offsets, numbers are listed."""
    if "offsets" not in stored:
        return list(stored.get("values", []))
    data = bytes(value & 0xFF for value in stored["values"])
    return [data[start:end].decode() for start, end in pairwise(stored["offsets"])]


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return versions_of("numpy", "xgboost", "xgboost-cpu")
