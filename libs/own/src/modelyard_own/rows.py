"""Rows of a sample as values: for the reference profile and for the example requests."""

import json
import math
from contextlib import suppress
from datetime import datetime
from typing import Final

import numpy as np

from modelyard_contracts.example import Cell, Example, ExampleAnswer
from modelyard_contracts.manifest import ReferenceProfile
from modelyard_contracts.signature import ColumnType, Signature, Task
from modelyard_contracts.tables.inference import converted
from modelyard_contracts.tables.table import Table, UnfitFile
from modelyard_own.sample import Sample
from modelyard_profiles import category_reference, column_references, number_reference

EXAMPLE_ROWS: Final = 100
"""Rows that are replayed before a version may serve: enough for a latency, few enough for a slow model."""


def reference_of(sample: Sample, signature: Signature) -> ReferenceProfile:
    """Return the distributions of the sample: inputs, and the recorded answers if it has them."""
    columns = {name: converted(sample.table, name, type_) for name, type_ in sample.types.items()}
    numbers = {name: np.array([_number(value) for value in columns[name]]) for name in signature.numeric}
    strings = {name: columns[name] for name in signature.categorical}
    answers = _answers(sample, signature)
    classifies = signature.task.classifies
    values = np.array(answers, dtype=np.float64) if answers and signature.task is Task.REGRESSION else None
    return ReferenceProfile(
        rows=len(sample.table.rows),
        features=tuple(column_references(signature.columns, numbers, strings)),
        classes=category_reference("class", [str(value) for value in answers]) if answers and classifies else None,
        score=None if values is None else number_reference("score", values),
    )


def _number(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, int | float) else np.nan


def example_of(sample: Sample, signature: Signature) -> Example:
    """Return the first rows as requests, with the recorded answers of the model if the sample has them."""
    first = sample.table.only(range(min(EXAMPLE_ROWS, len(sample.table.rows))))
    columns = {name: converted(first, name, type_) for name, type_ in sample.types.items()}
    rows = tuple({name: _cell(values[place]) for name, values in columns.items()} for place in range(len(first.rows)))
    answers = _answers(Sample(first, sample.types, sample.target, sample.answers), signature)
    if signature.task.classifies:
        return Example(rows=rows, answers=tuple(ExampleAnswer(label=str(answer)) for answer in answers))
    if signature.task is Task.EMBEDDING:
        vectors = (_vector(answer, signature.width, first) for answer in answers)
        return Example(rows=rows, answers=tuple(ExampleAnswer(scores=vector) for vector in vectors))
    return Example(rows=rows, answers=tuple(ExampleAnswer(value=float(answer)) for answer in answers))


def _cell(value: object) -> Cell:
    if isinstance(value, datetime):
        return value.isoformat()
    assert value is None or isinstance(value, str | float | int | bool)  # noqa: S101  the types of `converted`
    return value


def _vector(answer: str | float, width: int, table: Table) -> tuple[float, ...]:
    """A recorded vector: a JSON list of numbers."""
    with suppress(ValueError, TypeError, RecursionError):
        found = tuple(float(value) for value in json.loads(str(answer)))
        if len(found) == width and all(map(math.isfinite, found)):
            return found
    raise UnfitFile(
        f"{table.path}: a recorded answer is not a JSON list of {width} numbers, the model's vector; correct it or set "
        "--answers none"
    )


def _answers(sample: Sample, signature: Signature) -> list[str | float]:
    """The recorded answers; empty without such a column, and for texts. UnfitFile if a row has none.

    Texts are not compared: another processor or library chooses another word, and the rest of the answer differs.
    """
    if sample.answers is None or signature.task is Task.TEXT:
        return []
    type_ = ColumnType.NUMBER if signature.task is Task.REGRESSION else ColumnType.CATEGORY
    values = converted(sample.table, sample.answers, type_)
    if None in values:
        line = sample.table.lines[values.index(None)]
        raise UnfitFile(
            f"{sample.table.path}, line {line}: no answer in the column {sample.answers!r}; record the model's answer "
            "to every row, or set --answers none"
        )
    return values
