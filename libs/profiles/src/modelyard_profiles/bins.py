"""Counts of values in frozen bins, one column at a time.

Counts have the shape (3 + bins,): missing, non-finite, other, then the bins (see RESERVED_BINS in the manifest).
Integer counts over frozen bins add up: any window is a sum of smaller ones, in any order.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference

_RESERVED: Final = len(RESERVED_BINS)
MAX_BINS: Final = 10
"""Deciles: enough to see a changed distribution, few enough for a chi-square from windows of some hundred rows."""
MAX_VALUE_BINS: Final = 20
"""A feature with at most this many distinct values gets a bin between each pair of neighbours."""
MAX_CATEGORIES: Final = 50
"""The commonest categories; all others are one bin."""


def numeric_edges(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Edges of the reference bins: quantiles, or midpoints when there are few distinct values.

    values: shape (rows,), may hold NaN and infinities, which are left out.
    Returns strictly rising edges; heavy ties make fewer of them; none when all values are equal or absent.
    """
    finite = values[np.isfinite(values)]
    distinct = np.unique(finite)
    if distinct.size <= 1:
        return ()
    if distinct.size <= MAX_VALUE_BINS:
        # unique: between neighbours among the floats there is no midpoint
        return tuple(float(edge) for edge in np.unique(distinct[:-1] / 2 + distinct[1:] / 2))
    quantiles = 2 * np.quantile(finite / 2, np.arange(1, MAX_BINS) / MAX_BINS)  # halves: differences do not overflow
    return tuple(float(edge) for edge in np.unique(quantiles))


def count_numbers(values: NDArray[np.float64], edges: Sequence[float], missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts of one numeric column.

    values: shape (rows,); missing: shape (rows,), True where there is no value (a NaN there is not non-finite).
    Returns counts of shape (3 + len(edges) + 1,), which add up to the rows.
    """
    counts = np.zeros(_RESERVED + len(edges) + 1, dtype=np.int64)
    finite = np.isfinite(values) & ~missing
    counts[0] = int(missing.sum())
    counts[1] = values.size - counts[0] - int(finite.sum())
    bins = np.searchsorted(np.asarray(edges, dtype=np.float64), values[finite], side="right")
    counts[_RESERVED:] = np.bincount(bins, minlength=len(edges) + 1)
    return counts


def count_categories(values: Mapping[str | None, int], categories: Sequence[str]) -> NDArray[np.int64]:
    """Counts of one categorical column from the counts of its values; None is missing, an unknown value is other."""
    counts = np.zeros(_RESERVED + len(categories), dtype=np.int64)
    places = {category: _RESERVED + place for place, category in enumerate(categories)}
    for value, count in values.items():
        counts[0 if value is None else places.get(value, 2)] += count
    return counts


def reference_numbers(name: str, values: NDArray[np.float64]) -> FeatureReference:
    """The reference of a numeric column; NaN means missing here. shape (rows,)."""
    edges = numeric_edges(values)
    counts = count_numbers(values, edges, np.isnan(values))
    return FeatureReference(name=name, edges=edges, counts=tuple(int(count) for count in counts))


def reference_categories(name: str, values: Mapping[str | None, int]) -> FeatureReference:
    """The reference of a categorical column, from the counts of its values."""
    known = sorted((value for value in values if value is not None), key=lambda value: (-values[value], value))
    categories = tuple(known[:MAX_CATEGORIES])
    counts = count_categories(values, categories)
    if not categories:
        counts = np.append(counts, 0)  # like a number that was never seen: one bin, which holds nothing
    return FeatureReference(name=name, categories=categories, counts=tuple(int(count) for count in counts))


def reference_texts(name: str, texts: Sequence[str | None]) -> FeatureReference:
    """The reference of a text column: bins over its length in characters."""
    return reference_numbers(name, text_lengths(texts))


def text_lengths(texts: Sequence[str | None]) -> NDArray[np.float64]:
    """Lengths in characters, shape (rows,); NaN where a text is missing."""
    return np.array([np.nan if text is None else float(len(text)) for text in texts], dtype=np.float64)
