"""A table becomes a dataset: one parquet blob, known to the registry by its digest."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelyard import RegistryClient
from modelyard_cli.demo.data import Stream


def upload(registry: RegistryClient, stream: Stream, rows: int, *, name: str) -> str:
    """Register the first `rows` rows of a stream; the dataset's digest. The same rows again change nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        pq.write_table(training_table(stream, rows), path)
        digest = registry.put_blob(path)
        columns = dict.fromkeys(stream.numeric, "double") | dict.fromkeys(stream.categorical, "string")
        label = "string" if stream.classes else "double"
        registry.create_dataset(
            digest=digest,
            name=name,
            model=stream.name,
            rows=rows,
            size_bytes=path.stat().st_size,
            columns={**columns, "label": label, "occurred_at": "timestamp[us, tz=UTC]"},
            source={"rows": f"0 to {rows - 1}"},
        )
    return digest


def training_table(stream: Stream, rows: int) -> pa.Table:
    """The columns that the trainer reads; moments one second apart, the last one now."""
    start = datetime.now(UTC) - timedelta(seconds=rows)
    columns: dict[str, Any] = {name: stream.numbers[:rows, at] for at, name in enumerate(stream.numeric)}
    columns |= {name: pa.array(stream.words[:rows, at], pa.string()) for at, name in enumerate(stream.categorical)}
    columns["label"] = pa.array(stream.labels[:rows].tolist(), pa.string() if stream.classes else pa.float64())
    moments = [start + timedelta(seconds=row) for row in range(rows)]
    columns["occurred_at"] = pa.array(moments, pa.timestamp("us", tz="UTC"))
    return pa.table(columns)
