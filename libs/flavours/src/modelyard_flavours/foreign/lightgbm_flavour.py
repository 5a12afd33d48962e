"""Flavour `lightgbm`: a booster saved with `save_model` as text; its objective decides what it answers.

Classes are the numbers 0, 1, ... that training used, in the order of the signature.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_contracts.signature import ColumnType, Task
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign.coded import CATEGORIES_MEANING, CATEGORIES_OPTION, CodedColumns, stated_categories
from modelyard_flavours.foreign.outputs import Outputs
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version, imported, versions_of

NAME: Final = "lightgbm"
SUFFIXES: Final = frozenset({".txt", ".lgb", ".lightgbm", ".model"})
OPTIONS: Final[Mapping[str, str]] = {
    MODEL_OPTION: "path of the booster, if several files could be it",
    CATEGORIES_OPTION: CATEGORIES_MEANING,
}
_CLASSIFIERS: Final = frozenset({"binary", "cross_entropy", "multiclass", "multiclassova"})
_REGRESSORS: Final = frozenset(
    {"regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"}
)
_HEAD_BYTES: Final = 65_536


class LightgbmPredictor:
    """A loaded booster. Called by one thread, which is also its only one."""

    def __init__(self, booster: Any, version: Version) -> None:
        self._booster, self.classes = booster, version.signature.classes
        self._outputs = Outputs(version.signature)
        names = _names(booster, version)
        codes = _categories(booster, names or [column.name for column in version.signature.columns], version)
        self._columns = CodedColumns(version, names, codes)
        self.shape = self._columns.shape

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        if not len(numeric):  # the library refuses an empty matrix
            return self._outputs.empty()
        raw = np.asarray(self._booster.predict(self._columns.matrix(numeric, categorical), num_threads=1))
        return self._outputs.of(
            raw / raw.sum(axis=1, keepdims=True) if raw.ndim == 2 else raw
        )  # one-vs-all adds up to more


def check(version: Version) -> None:
    """Inadmissible unless one file can be the booster and its objective fits the task."""
    version.require_options(OPTIONS)
    file = version.model_file(SUFFIXES)
    objective, task = _objective(file), version.signature.task
    if objective not in (_REGRESSORS if task is Task.REGRESSION else _CLASSIFIERS):
        raise Inadmissible(file.name, f"has the objective {objective}, which does not fit the task {task}")


def load(version: Version) -> LightgbmPredictor:
    """Build the predictor."""
    check(version)
    library = imported(NAME, "lightgbm")
    file = version.model_file(SUFFIXES)
    return LightgbmPredictor(library.Booster(model_file=file), version)


def _objective(file: Path) -> str:
    """First word of the line `objective=` in the head of the file."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES).decode(errors="replace")
    if not head.startswith("tree\n"):
        raise Inadmissible(file.name, "is not a LightGBM model in text form; save it with Booster.save_model")
    lines = [line for line in head.splitlines() if line.startswith("objective=")]
    return lines[0].removeprefix("objective=").split()[0] if lines else "custom"


def _names(booster: Any, version: Version) -> list[str] | None:
    """The model's columns by the signature's names; None if it was fitted on a matrix without names.

    The library replaces blanks by underscores in its files.
    """
    names: list[str] = booster.feature_name()
    if names == [f"Column_{place}" for place in range(len(names))]:
        if len(names) != len(version.signature.columns):
            raise Inadmissible(
                "model", f"takes {len(names)} columns; the signature has {len(version.signature.columns)}"
            )
        return None
    given = {column.name.replace(" ", "_"): column.name for column in version.signature.columns}
    return [given.get(name, name) for name in names]


def _categories(booster: Any, names: Sequence[str], version: Version) -> dict[str, list[Any]]:
    """Column to its categories: the file lists them without names, in the order of the categorical columns."""
    stored = booster.pandas_categorical or []
    kinds = {column.name: column.type for column in version.signature.columns}
    columns = [name for name in names if kinds.get(name) is ColumnType.CATEGORY]
    stated = stated_categories(version)
    if stored and not stated and len(stored) != len(columns):
        raise Inadmissible(
            "model", f"has {len(stored)} categorical columns; the signature has {len(columns)}: {', '.join(columns)}"
        )
    return dict(zip(columns, stored, strict=False)) | stated


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return versions_of("numpy", "lightgbm")
