"""Flavour `python`: `predict.py` of the author, for own pre- and post-processing and for rules.

```python
def load(folder: Path) -> None: ...                                   # optional, called once
def predict(rows: list[dict[str, object]]) -> list[object]: ...       # required
```

A row maps column names to int, float, bool or str; None is missing, a timestamp is seconds since 1970 UTC. An answer
is a label, a list of scores in the order of the classes, a dict of class to score, or the value of a regression.
The code runs only in the confined process of its version, and only with the permission `code`.
"""

import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from modelyard_flavours.errors import FlavourError, Inadmissible
from modelyard_flavours.foreign.columns import Columns
from modelyard_flavours.foreign.outputs import Outputs
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version

NAME: Final = "python"
OPTIONS: Final[Mapping[str, str]] = {}
CODE: Final = "predict.py"
_MODULE: Final = "modelyard_predict"


class CodeFailed(FlavourError):
    """The version's own code raised an error; the text names file and line."""

    def __init__(self, folder: Path, error: BaseException) -> None:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename.startswith(str(folder))]
        place = f"{Path(frames[-1].filename).relative_to(folder)}:{frames[-1].lineno}" if frames else CODE
        if isinstance(error, SyntaxError) and error.filename == str(folder / CODE):
            place = f"{CODE}:{error.lineno}"
        super().__init__(f"{place}: {type(error).__name__}: {error}")


class BadAnswer(FlavourError):
    """The code answered with something that is no answer of the signature's task."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{CODE}: predict: {problem}")


class PythonPredictor:
    """Calls the version's code; each batch is one call."""

    def __init__(self, code: ModuleType, version: Version) -> None:
        self._predict, self._folder = code.predict, version.folder
        self._columns, self._outputs = Columns(version.signature), Outputs(version.signature)
        self.classes, self.shape = version.signature.classes, self._columns.shape

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        rows = self._columns.rows(numeric, categorical)
        answers = _called(self._folder, self._predict, rows)
        if not isinstance(answers, list | tuple | np.ndarray) or len(answers) != len(numeric):
            found = len(answers) if hasattr(answers, "__len__") else type(answers).__name__
            raise BadAnswer(f"returned {found} answers for {len(numeric)} rows; return a list with one per row")
        width = len(self.classes) or 1
        return np.array([self._answer(row, one) for row, one in enumerate(answers)]).reshape(len(numeric), width)

    def _answer(self, row: int, answer: Any) -> list[float]:
        try:
            return self._scores(answer) if self.classes else [float(answer)]
        except (TypeError, ValueError) as error:
            raise BadAnswer(f"row {row}: {error}") from error

    def _scores(self, answer: Any) -> list[float]:
        if isinstance(answer, Mapping):
            return list(self._outputs.of_mappings([dict(answer)])[0])
        if isinstance(answer, list | tuple | np.ndarray):
            scores = [float(score) for score in answer]
            if len(scores) != len(self.classes):
                raise ValueError(f"{len(scores)} scores for {len(self.classes)} classes")
            return scores
        return list(self._outputs.one_hot([answer])[0])


def check(version: Version) -> None:
    """Inadmissible without `predict.py`, or without the permission to run it."""
    version.require_options(OPTIONS)
    version.require(CODE)
    if not version.manifest.permissions.code:
        raise Inadmissible(
            CODE, "is Python code, which runs only with the permission `code`; register it with a reason"
        )


def load(version: Version) -> PythonPredictor:
    """Import `predict.py` and call its `load`."""
    check(version)
    code = _called(version.folder, _import, version.folder)
    if not callable(getattr(code, "predict", None)):
        raise Inadmissible(CODE, "has no function predict(rows); define one")
    if callable(getattr(code, "load", None)):
        _called(version.folder, code.load, version.folder)
    return PythonPredictor(code, version)


def _import(folder: Path) -> ModuleType:
    """Other modules of the version are found beside it, also when the code imports them later."""
    spec = spec_from_file_location(_MODULE, folder / CODE)
    assert spec is not None and spec.loader is not None  # noqa: S101  a file with the suffix .py has a loader
    sys.dont_write_bytecode = True
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def _called(folder: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """Errors of the code as CodeFailed; it may not end the process either."""
    try:
        return function(*arguments)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise CodeFailed(folder, error) from error


def environment() -> dict[str, str]:
    """The code's own packages are not known; the manifest may list them."""
    return {"python": ".".join(map(str, sys.version_info[:3]))}
