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
from modelyard_profiles.dispersion import over_dispersion, spread_over
from modelyard_profiles.references import (
    category_reference,
    column_references,
    dispersed,
    number_reference,
    value_dispersion,
)

__all__ = [
    "category_reference",
    "column_references",
    "count_categories",
    "count_numbers",
    "dispersed",
    "number_reference",
    "numeric_edges",
    "over_dispersion",
    "reference_categories",
    "reference_numbers",
    "reference_texts",
    "spread_over",
    "text_lengths",
    "value_dispersion",
]
