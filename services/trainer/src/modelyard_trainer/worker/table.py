"""Training files: parquet or CSV, as an Arrow table in the order of time."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard_contracts.manifest import ROW_ORDER
from modelyard_profiles.tables import UnreadableTable, read_file, row_times
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.errors import BadRequest


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
        table = table.append_column(time, row_times(len(table), as_of_s - len(table)))
    _check_own_columns(table, spec.target, time)
    order = pc.sort_indices(table, sort_keys=[(time, "ascending")])  # stable: equal times keep their order
    return table.take(order), time


def _read(path: Path) -> Any:
    try:
        return read_file(path)
    except UnreadableTable as error:
        raise BadRequest(f"dataset: {error}", field="dataset") from error


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
