"""A table as a registered dataset: its own column names, a type for each column, missing cells as null."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.registry import RegistryClient
from modelyard_contracts.tables.arrow import arrow_table
from modelyard_contracts.tables.inference import TrainingPlan
from modelyard_contracts.tables.table import Table


def upload_table(registry: RegistryClient, table: Table, plan: TrainingPlan, model: str) -> str:
    """Register the table as a dataset; returns its digest. The same rows again change nothing."""
    return register(registry, arrow_table(table, plan), table.path.stem, model, {"file": table.path.name})


def register(registry: RegistryClient, table: Any, name: str, model: str, source: dict[str, Any]) -> str:
    """Upload an Arrow table and register it as a dataset of a model; returns its digest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        return register_file(registry, path, name, model, len(table), write_table(table, path), source)


def write_table(table: Any, path: Path) -> dict[str, str]:
    """Write an Arrow table as Parquet; returns column name to Arrow type."""
    import pyarrow.parquet as pq

    pq.write_table(table, path)
    return {field.name: str(field.type) for field in table.schema}


def register_file(
    registry: RegistryClient,
    path: Path,
    name: str,
    model: str,
    rows: int,
    columns: Mapping[str, str],
    source: Mapping[str, Any],
) -> str:
    """Upload a Parquet file and register it as a dataset of a model; returns its digest."""
    digest = registry.put_blob(path)
    registry.create_dataset(
        digest=digest,
        name=name,
        model=model,
        rows=rows,
        size_bytes=path.stat().st_size,
        columns=columns,
        source=source,
    )
    return digest
