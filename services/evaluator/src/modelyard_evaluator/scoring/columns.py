"""Parquet columns to the arrays of a predictor. Uses pyarrow without pandas."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelyard_contracts.signature import Signature
from modelyard_evaluator.scoring.errors import RowsUnusable

MICROSECONDS: Final = 1e6


def inputs_of(table: pa.Table, signature: Signature) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Rows in the order of the signature: numbers (rows, n_num) and texts (rows, n_cat).

    A column that the table lacks is missing in every row. RowsUnusable if a column has an unsuitable type.
    """
    rows = table.num_rows
    numeric = np.full((rows, len(signature.numeric)), np.nan)
    texts = np.full((rows, len(signature.categorical)), None, dtype=object)
    for place, name in enumerate(signature.numeric):
        if name in table.column_names:
            # Converted through a list, whose None becomes NaN: pyarrow's own conversion imports pandas, which would
            # count as the model's memory and dominate the start.
            numeric[:, place] = as_numbers(table[name], name).to_pylist()
    for place, name in enumerate(signature.categorical):
        if name in table.column_names:
            texts[:, place] = as_texts(table[name], name).to_pylist()
    return numeric, texts


def as_numbers(column: Any, name: str) -> Any:
    """A column as Float64; booleans as 0 and 1, timestamps as seconds since 1970 UTC."""
    try:
        if pa.types.is_timestamp(column.type):
            microseconds = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
            return pc.divide(microseconds.cast(pa.float64()), MICROSECONDS)
        return column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RowsUnusable(f"column {name} is {column.type} and holds no numbers: {error}") from error


def as_texts(column: Any, name: str) -> Any:
    """A column as strings."""
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RowsUnusable(f"column {name} is {column.type} and holds no texts: {error}") from error
