"""References of input columns, with their over-dispersion in the order of time."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.manifest import FeatureReference
from modelyard_contracts.signature import Column, ColumnType
from modelyard_profiles.bins import (
    numeric_edges,
    reference_categories,
    reference_numbers,
    reference_texts,
    text_lengths,
)
from modelyard_profiles.dispersion import over_dispersion

FloatArray = NDArray[np.float64]


def column_references(
    columns: Sequence[Column], numbers: Mapping[str, FloatArray], strings: Mapping[str, Sequence[str | None]]
) -> list[FeatureReference]:
    """Return the reference of every column, in their order; rows in the order of time.

    numbers: numeric columns by name, shape (rows,), NaN where missing. strings: the others, None where missing.
    """
    return [
        number_reference(column.name, numbers[column.name])
        if column.type.numeric
        else _string_reference(column, strings[column.name])
        for column in columns
    ]


def number_reference(name: str, values: FloatArray) -> FeatureReference:
    """Return the reference of numbers with their dispersion. values: shape (rows,), NaN where missing."""
    return dispersed(reference_numbers(name, values), value_dispersion(values))


def dispersed(reference: FeatureReference, dispersion: float) -> FeatureReference:
    """Return the reference with its dispersion, to three decimals."""
    return reference.model_copy(update={"dispersion": round(dispersion, 3)})


def value_dispersion(values: FloatArray) -> float:
    """Return the over-dispersion of numbers over their reference bins; NaN is a bin of its own. shape (rows,)."""
    bins = 1 + np.searchsorted(np.asarray(numeric_edges(values)), values, side="right")
    return over_dispersion(np.where(np.isnan(values), 0, bins))


def _string_reference(column: Column, values: Sequence[str | None]) -> FeatureReference:
    if column.type is ColumnType.TEXT:
        return dispersed(reference_texts(column.name, values), value_dispersion(text_lengths(values)))
    return category_reference(column.name, values)


def category_reference(name: str, values: Sequence[str | None]) -> FeatureReference:
    """Return the reference of categories with their dispersion; None where missing."""
    reference = reference_categories(name, Counter(values))
    places = {category: place for place, category in enumerate(reference.categories, start=2)}
    bins = np.array([0 if value is None else places.get(value, 1) for value in values], dtype=np.int64)
    return dispersed(reference, over_dispersion(bins))
