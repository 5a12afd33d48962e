"""Rows in the column order of the signature, in the forms that libraries take."""

from typing import Any, Final

import numpy as np

from modelyard_contracts.signature import ColumnType, Signature
from modelyard_flavours.encoding import usable
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.predictor import FloatArray, ObjectArray

_CONVERSIONS: Final = {ColumnType.INTEGER: int, ColumnType.BOOLEAN: bool}


class Columns:
    """The columns of a signature, and where each lies in the arrays that a predictor is given."""

    def __init__(self, signature: Signature) -> None:
        numeric, categorical = signature.numeric, signature.categorical
        self._columns = signature.columns
        self.names = tuple(column.name for column in signature.columns)
        self.shape = (len(numeric), len(categorical))
        self.texts = tuple(column.name for column in signature.columns if not column.type.numeric)
        self._places = tuple(
            (True, numeric.index(column.name)) if column.type.numeric else (False, categorical.index(column.name))
            for column in signature.columns
        )

    def column(self, place: int, numeric: FloatArray, categorical: ObjectArray) -> Any:
        """One column, shape (rows,): float64 with NaN, or objects with None, where a value is missing."""
        is_numeric, source = self._places[place]
        return usable(numeric[:, source]) if is_numeric else categorical[:, source]

    def is_text(self, place: int) -> bool:
        return not self._places[place][0]

    def order(self, names: tuple[str, ...] | None, file: str) -> tuple[int, ...]:
        """Places of the columns in the model's own order; the signature's order without names.

        Inadmissible if the model has other columns.
        """
        if names is None:
            return tuple(range(len(self.names)))
        if sorted(names) != sorted(self.names):
            odd = sorted(set(names) ^ set(self.names))[:5]
            raise Inadmissible(file, f"has other columns than the signature: {', '.join(odd)}; give it the same names")
        return tuple(self.names.index(name) for name in names)

    def require_numbers(self, file: str) -> None:
        """Inadmissible if a column is a category or a text."""
        if self.texts:
            raise Inadmissible(file, f"takes numbers only, but {self.texts[0]!r} is a text; encode it before the model")

    def matrix(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """All columns of a signature without texts, shape (rows, columns)."""
        return usable(numeric)

    def rows(self, numeric: FloatArray, categorical: ObjectArray) -> list[dict[str, object]]:
        """One dict per row with the values as the author names them: int, bool, float or str; None is missing."""
        columns = [self._values(place, numeric, categorical) for place in range(len(self.names))]
        return [dict(zip(self.names, values, strict=True)) for values in zip(*columns, strict=True)]

    def _values(self, place: int, numeric: FloatArray, categorical: ObjectArray) -> list[object]:
        values = self.column(place, numeric, categorical)
        if self.is_text(place):
            return list(values)
        convert = _CONVERSIONS.get(self._columns[place].type, float)
        return [None if np.isnan(value) else convert(value) for value in values]
