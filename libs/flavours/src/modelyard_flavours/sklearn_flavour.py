"""Flavour `sklearn`: a fitted scikit-learn classifier or regressor in a skops file. Never a pickle.

scikit-learn and skops are imported inside the functions: naming the flavour needs neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_flavours.compiled import Function, NotServed, compile_estimator, predicts_values
from modelyard_flavours.encoding import Encoding
from modelyard_flavours.errors import Inadmissible, MissingExtra
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.skops_check import check_skops
from modelyard_flavours.stored import read_document
from modelyard_flavours.trees import MalformedTree
from modelyard_flavours.trust import TRUSTED_TYPES

NAME: Final = "sklearn"
MODEL: Final = "model.skops"
ENCODING: Final = "encoding.json"
FILES: Final = (MODEL, ENCODING)


@dataclass(frozen=True)
class FittedSklearn:
    """Argument of save_model.

    estimator: fitted on Encoding.matrix and class numbers 0, 1, ... in the order of encoding.classes; a regressor is
    fitted on values, and its encoding has no classes.
    """

    estimator: Any
    encoding: Encoding


class SklearnPredictor:
    """A loaded estimator; plain numpy once it is loaded."""

    def __init__(self, function: Function, known: tuple[int, ...], encoding: Encoding) -> None:
        self._function, self._known, self._encoding = function, known, encoding
        self._complete = known == tuple(range(len(encoding.classes)))  # also of a regressor: both are empty

    @property
    def classes(self) -> tuple[str, ...]:
        return self._encoding.classes

    @property
    def shape(self) -> tuple[int, int]:
        return self._encoding.shape

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        scores = self._function(self._encoding.matrix(numeric, categorical))
        if self._complete:
            return scores
        every = np.zeros((len(scores), len(self.classes)))  # a class without training rows has the score 0
        every[:, self._known] = scores
        return every


def predictor(fitted: object) -> SklearnPredictor:
    """The predictor of a fitted estimator; Inadmissible if this flavour does not serve it."""
    if not isinstance(fitted, FittedSklearn):
        raise TypeError(f"flavour {NAME!r} takes FittedSklearn, not {type(fitted).__name__}")
    try:
        known = _known(fitted.estimator, fitted.encoding)
        function = compile_estimator(fitted.estimator, fitted.encoding.width)
        return SklearnPredictor(function, known, fitted.encoding)
    except (NotServed, MalformedTree) as error:
        raise Inadmissible(MODEL, str(error)) from error


def save(fitted: object, folder: Path) -> None:
    """Write the flavour's files; Inadmissible if they could not be loaded again."""
    sio = _skops()
    if not isinstance(fitted, FittedSklearn):
        raise TypeError(f"flavour {NAME!r} saves FittedSklearn, not {type(fitted).__name__}")
    data = sio.dumps(fitted.estimator)
    load({MODEL: data, ENCODING: fitted.encoding.model_dump_json().encode()})
    (folder / MODEL).write_bytes(data)
    (folder / ENCODING).write_text(fitted.encoding.model_dump_json(indent=1) + "\n")


def check(files: Mapping[str, bytes]) -> None:
    """Inadmissible if a type is not on the trust list; builds nothing, needs neither scikit-learn nor skops."""
    check_skops(MODEL, files[MODEL])
    read_document(Encoding, ENCODING, files[ENCODING])


def load(files: Mapping[str, bytes]) -> SklearnPredictor:
    """Check the files and build the predictor."""
    sio = _skops()
    check(files)
    encoding = read_document(Encoding, ENCODING, files[ENCODING])
    return predictor(FittedSklearn(sio.loads(files[MODEL], trusted=sorted(TRUSTED_TYPES)), encoding))


def _known(estimator: Any, encoding: Encoding) -> tuple[int, ...]:
    """Classes of the estimator's columns; none for a regressor."""
    if predicts_values(estimator):
        if encoding.classes:
            raise NotServed(f"a regressor has no classes, but {ENCODING} names {len(encoding.classes)}")
        return ()
    if not encoding.classes:
        raise NotServed(f"a classifier needs its classes in {ENCODING}")
    known = tuple(int(number) for number in np.asarray(estimator.classes_))
    if not set(known) <= set(range(len(encoding.classes))):
        raise NotServed(f"class numbers {known} for {len(encoding.classes)} classes")
    return known


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return {name: version(name) for name in ("numpy", "scikit-learn", "skops")}


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtra(NAME, error.name or "skops", "sklearn") from error
    return skops.io
