"""Imports for fitting and saving, done by fitting every candidate once on a few rows.

Importing this module takes seconds; the warm Ray does it before the first run. Some libraries import parts of
themselves only when they are first used.
"""

import numpy as np

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_trainer.domain.recipes import RegressorParameters, TabularParameters, TextParameters
from modelyard_trainer.domain.split import Fold
from modelyard_trainer.recipes.estimators import fit_tabular
from modelyard_trainer.recipes.selection import Candidate, Fit, attempt, fit_and_save
from modelyard_trainer.recipes.text_model import fit_text
from modelyard_trainer.worker.work import Rows

ROWS = 40
CLASSES = Output(task=Task.BINARY, classes=("a", "b"))


def warm_up() -> None:
    """Fit every candidate of every recipe."""
    labels = np.arange(ROWS) % 2
    numbers, texts = labels[:, None].astype(np.float64), np.array([["a b"], ["b c"]] * (ROWS // 2), dtype=object)
    times = np.arange(ROWS).astype("datetime64[us]")
    none, column = np.zeros((ROWS, 0), dtype=object), (Column(name="x"),)
    _fit_all(
        fit_tabular,
        TabularParameters(max_iterations=2),
        Rows(numbers, none, labels, times),
        Signature(columns=column, output=CLASSES),
    )
    _fit_all(
        fit_tabular,
        RegressorParameters(max_iterations=2),
        Rows(numbers, none, labels * 1.0, times),
        Signature(columns=column, output=Output(task=Task.REGRESSION)),
    )
    text = Signature(input="text", columns=(Column(name="text", type=ColumnType.TEXT),), output=CLASSES)
    _fit_all(fit_text, TextParameters(), Rows(np.zeros((ROWS, 0)), texts, labels, times), text)


def _fit_all(
    fit: Fit, parameters: TabularParameters | RegressorParameters | TextParameters, rows: Rows, signature: Signature
) -> None:
    for name in parameters.candidates:
        attempt(fit, Candidate(name), parameters, rows, [Fold(ROWS // 2, ROWS, 1.0)], signature)
        fit_and_save(fit, Candidate(name), parameters, rows, rows, signature)


warm_up()
