"""The cells of a Parquet file as text, so that it is read as a CSV file is."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.tables.table import UnfitFile, too_large

SIMPLE: Final = (bool, int, float, str, Decimal, datetime, date)


def parquet_lines(path: Path, max_cells: int | None = None) -> list[tuple[int, list[str]]]:
    """Row numbers and cells; row 1 holds the names of the columns. UnfitFile names a column that has no plain values.

    Null is an empty cell, a timestamp is in UTC. max_cells: see `read_table`; a compressed file may hold very many.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        shape = pq.read_metadata(path)
        if max_cells is not None and shape.num_rows * shape.num_columns > max_cells:
            raise too_large(path, max_cells)
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UnfitFile(f"{path} cannot be read as a Parquet file: {error}") from error
    columns = [_texts(path, name, table.column(place)) for place, name in enumerate(table.schema.names)]
    header = [str(name) for name in table.schema.names]
    return [(1, header), *((at, list(cells)) for at, cells in enumerate(zip(*columns, strict=True), start=2))]


def _texts(path: Path, name: str, column: Any) -> list[str]:
    """Each distinct value is converted once."""
    known: dict[Any, str] = {None: ""}
    try:
        values = column.to_pylist()
        for value in values:
            if value not in known:
                known[value] = _text(value)
    except (TypeError, ValueError) as error:
        raise UnfitFile(
            f"{path}: column {shown(name)!r} is of the Parquet type {column.type}; use numbers, booleans, strings, "
            "dates or timestamps"
        ) from error
    return [known[value] for value in values]


def _text(value: Any) -> str:
    if not isinstance(value, SIMPLE):
        raise TypeError(type(value).__name__)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    if isinstance(value, float) and value != value:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
