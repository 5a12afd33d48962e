"""Labelled predictions that training and evaluation may use, and that the monitor may count: one rule.

A row is usable if its features have the lengths of its signature, and its label is a class of the task's output, or a
usable number for a regression. All other labelled rows are counted, left out and reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from modelyard_contracts.signature import Signature
from modelyard_contracts.usable import sql
from modelyard_contracts.usable.values import parse_number, usable_number

SIGNATURE_COLUMN: Final = "feature_schema_id"
"""Column of the view that holds the signature's id."""


class IncompatibleTasks(ValueError):
    """Rows of signatures with different tasks cannot be used together."""


def row_problem(
    signature: Signature, numbers: Sequence[object], texts: Sequence[object], label: str | None, value: float | None
) -> Literal["features", "label"] | None:
    """Why a labelled row cannot be used; None if it can."""
    if (len(numbers), len(texts)) != (len(signature.numeric), len(signature.categorical)):
        return "features"
    return None if usable_label(signature, label, value) else "label"


def usable_label(signature: Signature, label: str | None, value: float | None) -> bool:
    """Whether a label is one of the classes, or a usable number for a regression, whose `value` comes first."""
    if signature.task.classifies:
        return label in signature.classes
    return usable_number(value if value is not None else parse_number(label or ""))


@dataclass(frozen=True)
class LabelledRows:
    """Conditions of a query on `v_labelled`, in ClickHouse SQL with the server-side `parameters`.

    labelled: rows of these signatures with a label. features: the condition on their number of features. usable: the
    condition on labelled rows to be usable. truth: the label as the task needs it, String for classes and Float64 for
    values.
    """

    labelled: str
    features: str
    usable: str
    truth: str
    parameters: Mapping[str, Any]


def labelled_rows(signatures: Mapping[str, Signature]) -> LabelledRows:
    """Conditions for the rows of signatures, given by their id. IncompatibleTasks if they have different tasks."""
    classifies = {signature.task.classifies for signature in signatures.values()}
    tasks = {signature.task for signature in signatures.values()}
    if len(classifies) != 1 or not all(task.labelled for task in tasks):
        raise IncompatibleTasks(f"no common label for the tasks {', '.join(sorted(tasks))}")
    truth = "label" if classifies == {True} else f"coalesce(value, {sql.parse_number(_LABEL)})"
    valid = "label IN {classes:Array(String)}" if classifies == {True} else sql.usable_number(truth)
    present = "label IS NOT NULL AND label != ''" if classifies == {True} else _PRESENT_VALUE
    parameters: dict[str, Any] = {"signature_ids": sorted(signatures)}
    if classifies == {True}:
        parameters["classes"] = sorted({name for signature in signatures.values() for name in signature.classes})
    fits = []
    for place, signature_id in enumerate(sorted(signatures)):
        fits.append(f"({SIGNATURE_COLUMN} = {{signature_{place}:String}} AND {_lengths(signatures[signature_id])})")
        parameters[f"signature_{place}"] = signature_id
    features = f"({' OR '.join(fits)})"
    return LabelledRows(
        labelled=f"{SIGNATURE_COLUMN} IN {{signature_ids:Array(String)}} AND {present}",
        features=features,
        usable=f"{features} AND {valid}",
        truth=truth,
        parameters=parameters,
    )


def _lengths(signature: Signature) -> str:
    numbers, texts = len(signature.numeric), len(signature.categorical)
    return f"length(num_features) = {numbers} AND length(cat_features) = {texts}"


_LABEL: Final = "ifNull(label, '')"
_PRESENT_VALUE: Final = "(value IS NOT NULL OR (label IS NOT NULL AND label != ''))"
