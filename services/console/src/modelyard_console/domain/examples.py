"""A row that a model accepts: typical values from its signature and its training data."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference, ModelManifest
from modelyard_contracts.signature import Column, ColumnType

MAX_FIELDS: Final = 200
"""Columns with a field of their own; a form with more takes JSON."""
ROW: Final = "row"
"""Name of the field that takes a whole row."""
TRUE_WORDS: Final = frozenset({"true", "yes", "1"})
FALSE_WORDS: Final = frozenset({"false", "no", "0"})
FeatureValue = float | int | str | bool | None


@dataclass(frozen=True)
class InputField:
    """A field of a form for one input column."""

    name: str
    type: ColumnType
    example: str
    choices: tuple[str, ...] = ()
    """Known categories, the most frequent one first."""
    help: str = ""


class UnreadableValue(ValueError):
    """A field that its column cannot take."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field, self.problem = field, problem


def input_fields(manifest: ModelManifest) -> tuple[InputField, ...]:
    """A field per input column, filled with a typical value of the training data."""
    known = {one.name: one for one in manifest.reference.features} if manifest.reference else {}
    return tuple(_field(column, known.get(column.name)) for column in manifest.signature.columns)


def _field(column: Column, reference: FeatureReference | None) -> InputField:
    choices = _by_frequency(reference) if reference and column.type is ColumnType.CATEGORY else ()
    notes = [column.type.value, column.unit or "", "" if column.nullable else "required"]
    if reference and reference.edges and column.type is not ColumnType.BOOLEAN:
        notes.append(f"mostly {reference.edges[0]:.4g} to {reference.edges[-1]:.4g} in training")
    return InputField(
        name=column.name,
        type=column.type,
        example=_example(column, reference, choices),
        choices=choices,
        help=", ".join(note for note in notes if note),
    )


def _example(column: Column, reference: FeatureReference | None, choices: tuple[str, ...]) -> str:
    if column.type is ColumnType.TIMESTAMP:
        return "2026-01-31T12:00:00Z"
    if column.type is ColumnType.BOOLEAN:
        return "true"
    if column.type is ColumnType.TEXT:
        return "A short example text."
    if column.type is ColumnType.CATEGORY:
        return choices[0] if choices else "a"
    typical = _middle(reference) if reference and reference.edges else 1.0
    return f"{round(typical)}" if column.type is ColumnType.INTEGER else f"{typical:.4g}"


def _middle(reference: FeatureReference) -> float:
    """A value in the bin that holds the median of training."""
    counts, edges = reference.counts[len(RESERVED_BINS) :], reference.edges
    half, seen = sum(counts) / 2, 0
    for place, count in enumerate(counts):
        seen += count
        if seen >= half:
            low, high = edges[max(place - 1, 0)], edges[min(place, len(edges) - 1)]
            return (low + high) / 2
    return edges[0]


def _by_frequency(reference: FeatureReference) -> tuple[str, ...]:
    counts = reference.counts[len(RESERVED_BINS) :]
    ordered = sorted(zip(counts, reference.categories, strict=False), key=lambda pair: -pair[0])
    return tuple(category for _, category in ordered)


def example_row(fields: Sequence[InputField]) -> str:
    """The examples as JSON, for models with more columns than a form has fields."""
    return json.dumps(read_row(tuple(fields), {field.name: field.example for field in fields}), indent=1)


def predict_command(route: str, fields: Sequence[InputField]) -> str:
    """The command that sends the examples; quotes keep a text that looks like a number a text."""
    values = [f"{field.name}={_argument(field)}" for field in fields]
    return shlex.join(["modelyard", "predict", route, *values])


def _argument(field: InputField) -> str:
    if field.type in (ColumnType.NUMBER, ColumnType.INTEGER, ColumnType.BOOLEAN):
        return field.example
    try:
        json.loads(field.example)
    except ValueError:
        return field.example
    return json.dumps(field.example)


def read_json_row(text: str) -> dict[str, FeatureValue]:
    """A row from JSON; UnreadableValue names the field `row`."""
    try:
        row = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UnreadableValue(ROW, f"is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise UnreadableValue(ROW, "give an object from column to value")
    return row


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def read_row(fields: tuple[InputField, ...], given: Mapping[str, str]) -> dict[str, FeatureValue]:
    """Values by column from the texts of a form; an empty field is a missing value. UnreadableValue names the field."""
    return {field.name: _value(field, given.get(field.name, "").strip()) for field in fields}


def _value(field: InputField, text: str) -> FeatureValue:
    if not text:
        return None
    if field.type in (ColumnType.NUMBER, ColumnType.INTEGER):
        return _number(field, text)
    if field.type is ColumnType.BOOLEAN:
        if text.lower() not in TRUE_WORDS | FALSE_WORDS:
            raise UnreadableValue(field.name, f"{field.name}: give true or false")
        return text.lower() in TRUE_WORDS
    return text


def _number(field: InputField, text: str) -> float:
    whole = field.type is ColumnType.INTEGER
    try:
        value = int(text) if whole else float(text)
        finite = math.isfinite(value)
    except (ValueError, OverflowError):
        value, finite = 0.0, False
    if not finite:
        kind = "a whole number" if whole else "a number such as 12.5"
        raise UnreadableValue(field.name, f"{field.name}: give {kind}")
    return value
