"""A table as a registered dataset: its own column names, a type for each column, missing cells as null."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard_cli.inference import TrainingPlan, converted
from modelyard_cli.table import Table
from modelyard_contracts.signature import ColumnType, Task

if TYPE_CHECKING:
    from modelyard import RegistryClient


def upload_table(registry: "RegistryClient", table: Table, plan: TrainingPlan, model: str) -> str:
    """Register the table as a dataset; returns its digest. The same rows again change nothing."""
    return register(registry, arrow_table(table, plan), table.path.stem, model, {"file": table.path.name})


def register(registry: "RegistryClient", table: Any, name: str, model: str, source: dict[str, Any]) -> str:
    """Upload an Arrow table and register it as a dataset of a model; returns its digest."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        pq.write_table(table, path)
        digest = registry.put_blob(path)
        registry.create_dataset(
            digest=digest,
            name=name,
            model=model,
            rows=len(table),
            size_bytes=path.stat().st_size,
            columns={field.name: str(field.type) for field in table.schema},
            source=source,
        )
    return digest


def arrow_table(table: Table, plan: TrainingPlan) -> Any:
    """The features, the target and, if there is one, the time column. Classes stay strings, numbers become doubles."""
    import pyarrow as pa

    types: dict[ColumnType, Any] = {
        ColumnType.NUMBER: pa.float64(),
        ColumnType.INTEGER: pa.int64(),
        ColumnType.BOOLEAN: pa.bool_(),
        ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    }
    target = ColumnType.NUMBER if plan.task is Task.REGRESSION else ColumnType.CATEGORY
    columns = {**plan.types, plan.target: target}
    if plan.time is not None:
        columns[plan.time] = ColumnType.TIMESTAMP
    return pa.table(
        {
            name: pa.array(converted(table, name, type_), types.get(type_, pa.string()))
            for name, type_ in columns.items()
        }
    )
