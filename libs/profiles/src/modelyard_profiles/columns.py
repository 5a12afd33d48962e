"""Arrow columns as arrays of a signature's column types; values that do not fit are reported, not dropped."""

import math
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelyard_contracts.signature import Column, ColumnType
from modelyard_contracts.usable import cell_value, parse_number

EXAMPLES: Final = 3


class Unfit(ValueError):
    """Values of a column do not have the type of the signature; the text names some of them."""


def numbers(column: Any, wanted: Column) -> NDArray[np.float64]:
    """Values of a numeric column, shape (rows,), NaN where missing; timestamps in seconds since 1970 UTC.

    Unfit names values that are not of the type.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if _is_text(column.type):
        return _parsed(column, wanted)
    if pa.types.is_temporal(column.type):
        if wanted.type is not ColumnType.TIMESTAMP:
            raise Unfit(f"column {wanted.name} is {column.type}, the signature has {wanted.type.value}")
        column = pc.divide(pc.cast(column.cast(pa.timestamp("us")), pa.int64()).cast(pa.float64()), 1e6)
    values = np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    _check_whole(values, wanted)
    return values


def texts(column: Any) -> NDArray[np.object_]:
    """Values of a category or text column, shape (rows,), None where missing."""
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)


def _is_text(arrow_type: Any) -> bool:
    return bool(pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type))


def _parsed(column: Any, wanted: Column) -> NDArray[np.float64]:
    values = np.full(len(column), np.nan)
    wrong: list[str] = []
    known: dict[str, float] = {}
    for row, text in enumerate(column.to_pylist()):
        if text is None:
            continue
        try:
            values[row] = known[text] if text in known else known.setdefault(text, _value(text, wanted.type))
        except ValueError:
            wrong.append(text)
    if wrong:
        raise Unfit(_unfit(wanted, [repr(text[:40]) for text in wrong]))
    _check_whole(values, wanted)
    return values


def _value(text: str, type_: ColumnType) -> float:
    """The value of a cell as it is logged, NaN if it is missing; ValueError if it is not of the type."""
    if type_ is ColumnType.TIMESTAMP and (seconds := parse_number(text)) is not None:
        return seconds
    value = cell_value(text, type_)
    if value is None or isinstance(value, str):
        return math.nan
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _check_whole(values: NDArray[np.float64], wanted: Column) -> None:
    known = values[np.isfinite(values)]
    if wanted.type is ColumnType.INTEGER:
        wrong = known[known != np.trunc(known)]
    elif wanted.type is ColumnType.BOOLEAN:
        wrong = known[(known != 0) & (known != 1)]
    else:
        return
    if len(wrong):
        raise Unfit(_unfit(wanted, [f"{value:g}" for value in wrong.tolist()]))


def _unfit(wanted: Column, wrong: list[str]) -> str:
    some = ", ".join(list(dict.fromkeys(wrong))[:EXAMPLES])
    return f"column {wanted.name}: {len(wrong)} values are not of the type {wanted.type.value}, such as {some}"
