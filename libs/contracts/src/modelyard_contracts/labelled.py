"""Labelled predictions that training and evaluation may use: one rule, as conditions on the view `v_labelled`.

A row is usable if its features have the lengths of its signature, and its label is a class of the task's output, or a
finite number for a regression. All other labelled rows are counted, left out and reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelyard_contracts.signature import Signature, Task

SIGNATURE_COLUMN: Final = "feature_schema_id"
"""Column of the view that holds the signature's id."""


class IncompatibleTasks(ValueError):
    """Rows of signatures with different tasks cannot be used together."""


@dataclass(frozen=True)
class LabelledRows:
    """Conditions of a query on `v_labelled`, in ClickHouse SQL with the server-side `parameters`.

    labelled: rows of these signatures with a label. usable: the condition on labelled rows to be usable. truth: the
    label as the task needs it, String for classes and Float64 for values.
    """

    labelled: str
    usable: str
    truth: str
    parameters: Mapping[str, Any]


def labelled_rows(signatures: Mapping[str, Signature]) -> LabelledRows:
    """Conditions for the rows of signatures, given by their id. IncompatibleTasks if they have different tasks."""
    classifies = {signature.task.classifies for signature in signatures.values()}
    tasks = {signature.task for signature in signatures.values()}
    if len(classifies) != 1 or Task.TEXT in tasks:
        raise IncompatibleTasks(f"no common label for the tasks {', '.join(sorted(tasks))}")
    truth = "label" if classifies == {True} else "coalesce(value, toFloat64OrNull(label))"
    valid = "label IN {classes:Array(String)}" if classifies == {True} else f"ifNull(isFinite({truth}), 0)"
    present = "label IS NOT NULL AND label != ''" if classifies == {True} else _PRESENT_VALUE
    parameters: dict[str, Any] = {"signature_ids": sorted(signatures)}
    if classifies == {True}:
        parameters["classes"] = sorted({name for signature in signatures.values() for name in signature.classes})
    fits = []
    for place, signature_id in enumerate(sorted(signatures)):
        fits.append(f"({SIGNATURE_COLUMN} = {{signature_{place}:String}} AND {_lengths(signatures[signature_id])})")
        parameters[f"signature_{place}"] = signature_id
    return LabelledRows(
        labelled=f"{SIGNATURE_COLUMN} IN {{signature_ids:Array(String)}} AND {present}",
        usable=f"({' OR '.join(fits)}) AND {valid}",
        truth=truth,
        parameters=parameters,
    )


def _lengths(signature: Signature) -> str:
    numbers, texts = len(signature.numeric), len(signature.categorical)
    return f"length(num_features) = {numbers} AND length(cat_features) = {texts}"


_PRESENT_VALUE: Final = "(value IS NOT NULL OR (label IS NOT NULL AND label != ''))"
