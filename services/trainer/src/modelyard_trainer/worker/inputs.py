"""References of the inputs, with their over-dispersion in the order of time."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from modelyard_contracts.manifest import FeatureReference
from modelyard_contracts.signature import ColumnType
from modelyard_profiles import (
    numeric_edges,
    over_dispersion,
    reference_categories,
    reference_numbers,
    reference_texts,
    text_lengths,
)
from modelyard_trainer.worker.work import FloatArray, Work


def feature_references(work: Work) -> list[FeatureReference]:
    """Return the reference of every input, in the order of the signature."""
    rows, signature = work.used, work.signature
    numbers = {name: rows.numeric[:, place] for place, name in enumerate(signature.numeric)}
    strings = {name: rows.categorical[:, place].tolist() for place, name in enumerate(signature.categorical)}
    found = []
    for column in signature.columns:
        name = column.name
        if column.type.numeric:
            found.append(dispersed(reference_numbers(name, numbers[name]), value_dispersion(numbers[name])))
        elif column.type is ColumnType.TEXT:
            lengths = text_lengths(strings[name])
            found.append(dispersed(reference_texts(name, strings[name]), value_dispersion(lengths)))
        else:
            found.append(_category(name, strings[name]))
    return found


def dispersed(reference: FeatureReference, dispersion: float) -> FeatureReference:
    """Return the reference with its dispersion, to three decimals."""
    return reference.model_copy(update={"dispersion": round(dispersion, 3)})


def value_dispersion(values: FloatArray) -> float:
    """Return the over-dispersion of numbers over their reference bins; NaN is a bin of its own. shape (rows,)."""
    bins = 1 + np.searchsorted(np.asarray(numeric_edges(values)), values, side="right")
    return over_dispersion(np.where(np.isnan(values), 0, bins))


def _category(name: str, values: Sequence[str | None]) -> FeatureReference:
    reference = reference_categories(name, Counter(values))
    places = {category: place for place, category in enumerate(reference.categories, start=2)}
    bins = np.array([0 if value is None else places.get(value, 1) for value in values], dtype=np.int64)
    return dispersed(reference, over_dispersion(bins))
