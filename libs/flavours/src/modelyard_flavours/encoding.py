"""From features to the matrix that an estimator sees: numbers as they are, categories as one column each."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field

from modelyard_contracts.messages import Part
from modelyard_flavours.predictor import FloatArray, ObjectArray


class Encoding(Part):
    """Stored beside the model as `encoding.json`: which categories have a column, and what the scores stand for."""

    schema_version: int = 1
    numeric: int = Field(ge=0)
    """How many numeric features."""
    categories: tuple[tuple[str, ...], ...] = ()
    """Per categorical feature, the values that have a column; every other value, and none, is a row of zeros there."""
    classes: tuple[str, ...] = Field(min_length=1)

    @classmethod
    def learn(
        cls, numeric: FloatArray, categorical: ObjectArray, classes: Sequence[str], max_categories: int = 30
    ) -> Self:
        """From training columns, shapes (rows, numeric) and (rows, categorical): the commonest values get a column."""
        return cls(
            numeric=numeric.shape[1],
            categories=tuple(
                _commonest(categorical[:, place], max_categories) for place in range(categorical.shape[1])
            ),
            classes=tuple(classes),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """How many numeric and how many categorical features."""
        return self.numeric, len(self.categories)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return self.numeric + sum(len(values) for values in self.categories)

    def matrix(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """Shape (rows, width), float64, finite or NaN. ValueError when the shapes do not fit."""
        rows = len(numeric)
        if numeric.shape != (rows, self.numeric) or categorical.shape != (rows, len(self.categories)):
            raise ValueError(
                f"numeric {numeric.shape} and categorical {categorical.shape} do not fit "
                f"{self.numeric} numeric and {len(self.categories)} categorical features"
            )
        matrix = np.zeros((rows, self.width))
        matrix[:, : self.numeric] = np.where(np.isfinite(numeric), numeric, np.nan)
        start = self.numeric
        for place, values in enumerate(self.categories):
            columns = {value: start + offset for offset, value in enumerate(values)}
            for row, value in enumerate(categorical[:, place]):
                if value in columns:
                    matrix[row, columns[value]] = 1.0
            start += len(values)
        return matrix


def _commonest(column: ObjectArray, limit: int) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for value in column:
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    return tuple(sorted(counts, key=lambda value: (-counts[value], value))[:limit])
