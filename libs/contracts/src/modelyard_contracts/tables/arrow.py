"""A table as Arrow columns with the types of its plan; needs the extra `arrow`."""

from typing import Any

from modelyard_contracts.signature import ColumnType, Task
from modelyard_contracts.tables.inference import TrainingPlan, converted
from modelyard_contracts.tables.table import Table


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
