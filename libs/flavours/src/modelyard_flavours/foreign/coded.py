"""Rows as one matrix for boosted trees: numbers as they are, categories as the codes that training used."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from modelyard_contracts.signature import ColumnType
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign.columns import Columns
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version

CATEGORIES_OPTION: Final = "categories"
CATEGORIES_MEANING: Final = (
    'JSON, column to the values of the codes 0, 1, ..., such as {"colour": ["blue", "red"]}; '
    "only for files that do not hold them"
)


class CodedColumns:
    """Columns in the model's order. A missing or unknown category is NaN, as a missing number."""

    def __init__(self, version: Version, names: Sequence[str] | None, codes: Mapping[str, Sequence[Any]]) -> None:
        """names: columns in the model's order; None for the signature's. codes: column to its categories in order."""
        self._columns = Columns(version.signature)
        self.shape = self._columns.shape
        self._order = self._columns.order(None if names is None else tuple(names), "model")
        self._codes = {
            place: {_text(value): float(code) for code, value in enumerate(codes[name])}
            for place, name in enumerate(self._columns.names)
            if self._columns.is_text(place) and name in codes
        }
        self._require_codes(version)

    def _require_codes(self, version: Version) -> None:
        for place, column in enumerate(version.signature.columns):
            if column.type is ColumnType.TEXT:
                raise Inadmissible(column.name, "is a text; boosted trees take numbers and categories")
            if self._columns.is_text(place) and place not in self._codes:
                raise Inadmissible(
                    column.name,
                    f"is a category without codes in the model; list them in the option {CATEGORIES_OPTION!r}, or make "
                    "it a number",
                )

    def matrix(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """Shape (rows, columns), float64."""
        matrix = np.empty((len(numeric), len(self._order)))
        for target, place in enumerate(self._order):
            values = self._columns.column(place, numeric, categorical)
            if place in self._codes:
                codes = self._codes[place]
                matrix[:, target] = [codes.get(value, np.nan) for value in values]
            else:
                matrix[:, target] = values
        return matrix


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def stated_categories(version: Version) -> dict[str, list[Any]]:
    """The option `categories`; Inadmissible if it does not map columns to lists."""
    stated = version.json_option(CATEGORIES_OPTION)
    if stated is None:
        return {}
    if not isinstance(stated, dict) or not all(isinstance(values, list) for values in stated.values()):
        raise Inadmissible(f"options.{CATEGORIES_OPTION}", "does not map columns to lists of values")
    return stated
