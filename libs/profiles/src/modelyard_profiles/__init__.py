"""Frozen bins and their counts: the same code where a reference is made and where it is compared with."""

from modelyard_profiles.bins import (
    count_categories,
    count_numbers,
    numeric_edges,
    reference_categories,
    reference_numbers,
    reference_texts,
    text_lengths,
)

__all__ = [
    "count_categories",
    "count_numbers",
    "numeric_edges",
    "reference_categories",
    "reference_numbers",
    "reference_texts",
    "text_lengths",
]
