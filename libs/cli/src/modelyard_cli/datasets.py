"""The first rows of a stream as a dataset: one parquet blob, known to the registry by its digest."""

from typing import Any

import pyarrow as pa

from modelyard import RegistryClient
from modelyard.datasets import register
from modelyard_cli.demo.data import Stream


def upload(registry: RegistryClient, stream: Stream, rows: int, *, name: str) -> str:
    """Register the first `rows` rows of a stream; the dataset's digest. The same rows again change nothing."""
    return register(registry, training_table(stream, rows), name, stream.name, {"rows": f"0 to {rows - 1}"})


def training_table(stream: Stream, rows: int) -> pa.Table:
    """The features and the target, in the order of time."""
    columns: dict[str, Any] = {name: stream.numbers[:rows, at] for at, name in enumerate(stream.numeric)}
    columns |= {name: pa.array(stream.words[:rows, at], pa.string()) for at, name in enumerate(stream.categorical)}
    columns[stream.target] = pa.array(stream.labels[:rows].tolist(), pa.string() if stream.classes else pa.float64())
    return pa.table(columns)
