"""From features to the matrix of an estimator: numbers, one column per category, hashed words of texts."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modelyard_contracts.messages import Part
from modelyard_contracts.usable import LARGEST_NUMBER
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.texts import bucket_of, words

TEXT_BUCKETS: Final = 64
SCHEMA_VERSION: Final = 2


class Encoding(Part):
    """Stored beside the model as `encoding.json`: the columns of the matrix, and the classes of the scores.

    Version 1 has no texts, and at least one class.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    numeric: int = Field(ge=0)
    """Number of numeric features."""
    categories: tuple[tuple[str, ...], ...] = ()
    """Per categorical feature, the values that have a column; any other value is a row of zeros there."""
    text_buckets: tuple[int, ...] = ()
    """Per categorical feature, the number of columns for hashed words; 0 for a category. Empty: no texts."""
    classes: tuple[str, ...] = ()
    """Empty for a regression."""

    @classmethod
    def learn(
        cls,
        numeric: FloatArray,
        categorical: ObjectArray,
        classes: Sequence[str],
        max_categories: int = 30,
        *,
        texts: Sequence[bool] = (),
    ) -> Self:
        """Choose the columns from training rows: the commonest values of each category get a column.

        numeric: shape (rows, numeric features). categorical: shape (rows, categorical features). texts: per categorical
        feature, True for a text; empty if there is none.
        """
        is_text = tuple(texts) or (False,) * categorical.shape[1]
        return cls(
            numeric=numeric.shape[1],
            categories=tuple(
                () if text else _commonest(categorical[:, place], max_categories) for place, text in enumerate(is_text)
            ),
            text_buckets=tuple(TEXT_BUCKETS if text else 0 for text in is_text) if any(is_text) else (),
            classes=tuple(classes),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of numeric and of categorical features."""
        return self.numeric, len(self.categories)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return self.numeric + sum(len(values) for values in self.categories) + sum(self.text_buckets)

    def matrix(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """Shape (rows, width), float64, within float32 or NaN. ValueError if the shapes do not fit."""
        rows = len(numeric)
        if numeric.shape != (rows, self.numeric) or categorical.shape != (rows, len(self.categories)):
            raise ValueError(
                f"numeric {numeric.shape} and categorical {categorical.shape} do not fit "
                f"{self.numeric} numeric and {len(self.categories)} categorical features"
            )
        matrix = np.zeros((rows, self.width))
        matrix[:, : self.numeric] = usable(numeric)
        start = self.numeric
        for place, values in enumerate(self.categories):
            buckets = self.text_buckets[place] if self.text_buckets else 0
            block = matrix[:, start : start + (buckets or len(values))]
            if buckets:
                _count_words(categorical[:, place], block)
            else:
                _mark_categories(categorical[:, place], values, block)
            start += block.shape[1]
        return matrix


def usable(numeric: FloatArray) -> FloatArray:
    """Numbers that models compute with (modelyard_contracts.usable); NaN for everything else."""
    inside: NDArray[np.bool_] = np.abs(numeric) <= LARGEST_NUMBER  # False for NaN
    return np.where(inside, numeric, np.nan)


def _mark_categories(column: ObjectArray, values: tuple[str, ...], block: FloatArray) -> None:
    columns = {value: offset for offset, value in enumerate(values)}
    for row, value in enumerate(column):
        if value in columns:
            block[row, columns[value]] = 1.0


def _count_words(column: ObjectArray, block: FloatArray) -> None:
    """log(1 + count) of the words of each bucket."""
    for row, value in enumerate(column):
        for word in words(value) if value is not None else ():
            block[row, bucket_of(word, block.shape[1])] += 1.0
    np.log1p(block, out=block)


def _commonest(column: ObjectArray, limit: int) -> tuple[str, ...]:
    counts = Counter(value for value in column if value is not None)
    return tuple(sorted(counts, key=lambda value: (-counts[value], value))[:limit])
