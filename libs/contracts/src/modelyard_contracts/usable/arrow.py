"""The rule for one value, for Arrow columns and numpy arrays; and the usable rows among stored predictions."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelyard_contracts.signature import Signature
from modelyard_contracts.usable.values import BLANK, INFINITE_PATTERN, LARGEST_NUMBER, MISSING_WORDS, NUMBER_PATTERN

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


def stripped(cells: Any) -> Any:
    """String cells without the blanks around them; nulls stay."""
    return pc.utf8_trim(cells, characters=BLANK)


def is_missing(cells: Any) -> Any:
    """Mask of string cells that have no value in a column of numbers, booleans or timestamps; null has none."""
    words = pa.array(MISSING_WORDS, pa.string())
    return pc.or_(pc.is_null(cells), pc.fill_null(pc.is_in(pc.utf8_lower(stripped(cells)), value_set=words), True))


def parse_numbers(cells: Any) -> tuple[FloatArray, Mask]:
    """The numbers in string cells, NaN elsewhere, and the mask of cells that hold a number; shapes (rows,)."""
    texts = stripped(cells)
    fits = pc.fill_null(pc.match_substring_regex(texts, f"^(?:{NUMBER_PATTERN}|{INFINITE_PATTERN})$"), False)
    plain = pc.replace_substring_regex(pc.if_else(fits, texts, None), pattern="^[+]", replacement="")
    return numpy_of(pc.cast(plain, pa.float64())), np.asarray(fits.to_numpy(zero_copy_only=False), dtype=np.bool_)


def numpy_of(numbers: Any) -> FloatArray:
    """A Float64 column with NaN for null."""
    return np.asarray(pc.fill_null(numbers, float("nan")).to_numpy(zero_copy_only=False), dtype=np.float64)


def usable_numbers(values: FloatArray) -> Mask:
    """Mask of numbers that models compute with: finite, and within float32."""
    inside: Mask = np.abs(values) <= LARGEST_NUMBER  # False for NaN
    return inside


def fits_signature(rows: Any, signature: Signature) -> Any:
    """Mask of rows whose lists num_features and cat_features have the signature's lengths."""
    numbers = pc.equal(pc.list_value_length(rows["num_features"]), len(signature.numeric))
    texts = pc.equal(pc.list_value_length(rows["cat_features"]), len(signature.categorical))
    return pc.fill_null(pc.and_(numbers, texts), False)


def usable_labels(labels: Any, values: Any, signature: Signature) -> Any:
    """Mask of usable labels. labels: strings; values: Float64, which come first in a regression; else not read."""
    if signature.task.classifies:
        return pc.fill_null(pc.is_in(labels, value_set=pa.array(signature.classes, pa.string())), False)
    parsed, _ = parse_numbers(labels)
    return pa.array(
        usable_numbers(np.where(pc.is_valid(values).to_numpy(zero_copy_only=False), numpy_of(values), parsed))
    )
