"""Training files as Arrow tables: parquet or CSV. Needs pyarrow, not pandas."""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

NULLS: Final = ("", "NA", "N/A", "null", "NULL", "NaN", "nan", "-")
"""Texts that mean a missing value, in CSV files and in text columns that hold numbers, booleans or timestamps."""
_PARQUET: Final = b"PAR1"


class UnreadableTable(ValueError):
    """The file is neither parquet nor CSV."""


def read_file(path: Path) -> pa.Table:
    """All rows and columns of a file; UnreadableTable if it is neither parquet nor CSV."""
    with path.open("rb") as file:
        parquet = file.read(4) == _PARQUET
    try:
        if parquet:
            return pq.ParquetFile(path).read()  # read_table would import pandas, which takes a second
        options = pyarrow.csv.ConvertOptions(null_values=list(NULLS), strings_can_be_null=True)
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise UnreadableTable(f"is neither a parquet nor a CSV file ({error})") from error


def row_times(rows: int, first_s: float) -> Any:
    """Times of rows in the order of time, one second apart, from `first_s` on: seconds since 1970 UTC."""
    first = round(first_s * 1_000_000)
    return pa.array([first + row * 1_000_000 for row in range(rows)], pa.timestamp("us", tz="UTC"))
