"""Training files: parquet or CSV, as an Arrow table in the order of time."""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from modelyard_trainer.domain.data import ROW_ORDER, DataSpec
from modelyard_trainer.domain.errors import BadRequest

NULLS: Final = ("", "NA", "N/A", "null", "NULL", "NaN", "nan", "-")
"""Texts that mean a missing value, in CSV files and in text columns that hold numbers, booleans or timestamps."""
_PARQUET: Final = b"PAR1"


def read_table(path: Path, spec: DataSpec, as_of_s: float = 0.0) -> tuple[pa.Table, str]:
    """Read a training file; returns it in the order of time, and the name of its time column.

    as_of_s: time of the last row, in seconds since 1970, if the file has no time column: rows are then one second
    apart. BadRequest names the column that is missing or has a wrong type.
    """
    table = _read(path)
    if len(set(table.column_names)) != len(table.column_names):
        raise BadRequest("dataset: two columns have the same name; rename one", field="dataset")
    time = spec.time
    if time is None:
        time = ROW_ORDER
        table = table.append_column(time, _row_times(len(table), as_of_s))
    _check_own_columns(table, spec.target, time)
    order = pc.sort_indices(table, sort_keys=[(time, "ascending")])  # stable: equal times keep their order
    return table.take(order), time


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        parquet = file.read(4) == _PARQUET
    try:
        if parquet:
            return pq.ParquetFile(path).read()  # read_table would import pandas, which takes a second
        options = pyarrow.csv.ConvertOptions(null_values=list(NULLS), strings_can_be_null=True)
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"dataset: is neither a parquet nor a CSV file ({error})", field="dataset") from error


def _row_times(rows: int, as_of_s: float) -> Any:
    last = int(as_of_s * 1_000_000)
    return pa.array([last - (rows - row) * 1_000_000 for row in range(rows)], pa.timestamp("us", tz="UTC"))


def _check_own_columns(table: pa.Table, target: str, time: str) -> None:
    for name in (target, time):
        if name not in table.column_names:
            raise BadRequest(f"dataset: has no column {name}; it has {', '.join(table.column_names)}", field="dataset")
        if table[name].null_count:
            raise BadRequest(f"dataset: column {name} has {table[name].null_count} missing values", field=name)
    if not pa.types.is_timestamp(table.schema.field(time).type):
        raise BadRequest(f"dataset: {time} is {table.schema.field(time).type}; it must be a timestamp", field=time)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a parquet file that is complete or absent."""
    part = path.with_suffix(".part")
    pq.write_table(table, part, compression="zstd")
    part.replace(path)


def column_types(table: pa.Table) -> dict[str, str]:
    """Name to Arrow type of every column."""
    return {field.name: str(field.type) for field in table.schema}
