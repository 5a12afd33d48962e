"""Training files as Arrow tables: parquet or CSV. Needs pyarrow, not pandas."""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from modelyard_contracts.signature import ColumnType
from modelyard_contracts.usable import cell_value, column_type
from modelyard_contracts.usable.arrow import is_missing, stripped

ARROW_TYPES: Final[dict[ColumnType, Any]] = {
    ColumnType.NUMBER: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    ColumnType.CATEGORY: pa.string(),
    ColumnType.TEXT: pa.string(),
}
_PARQUET: Final = b"PAR1"


class UnreadableTable(ValueError):
    """The file is neither parquet nor CSV."""


def read_file(path: Path) -> pa.Table:
    """All rows and columns of a file; UnreadableTable if it is neither parquet nor CSV.

    Columns of a CSV file get the narrowest type of their cells, by the rules of modelyard_contracts.usable.
    """
    with path.open("rb") as file:
        parquet = file.read(4) == _PARQUET
    try:
        if parquet:
            return pq.ParquetFile(path).read()  # read_table would import pandas, which takes a second
        options = pyarrow.csv.ConvertOptions(default_column_type=pa.string())
        parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
        cells = pyarrow.csv.read_csv(path, convert_options=options, parse_options=parsing)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise UnreadableTable(f"is neither a parquet nor a CSV file ({error})") from error
    return pa.table([typed(column) for column in cells.columns], cells.column_names)


def typed(cells: Any) -> Any:
    """A column of cells in the narrowest type that fits all of them; null where a value is missing."""
    texts = stripped(cells)
    counted = pc.value_counts(texts).to_pylist()
    type_ = column_type({one["values"]: one["counts"] for one in counted if one["values"] is not None})
    if type_ is None:
        return pa.nulls(len(cells))
    if not type_.numeric:
        return pc.if_else(pc.equal(texts, ""), None, texts)
    known = pc.if_else(is_missing(texts), None, texts)
    if type_ is ColumnType.NUMBER or type_ is ColumnType.INTEGER:
        return pc.cast(pc.replace_substring_regex(known, pattern="^[+]", replacement=""), ARROW_TYPES[type_])
    values = {text: cell_value(text, type_) for text in pc.unique(known).to_pylist() if text is not None}
    return pa.array([values.get(text) for text in known.to_pylist()], ARROW_TYPES[type_])


def row_times(rows: int, first_s: float) -> Any:
    """Times of rows in the order of time, one second apart, from `first_s` on: seconds since 1970 UTC."""
    first = round(first_s * 1_000_000)
    return pa.array([first + row * 1_000_000 for row in range(rows)], ARROW_TYPES[ColumnType.TIMESTAMP])
