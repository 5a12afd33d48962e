"""The rows of a run as arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts.signature import Column, ColumnType, Signature
from modelyard_contracts.usable import label_of
from modelyard_profiles.columns import Unfit, numbers, texts
from modelyard_trainer.domain.data import describe
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.worker.work import Rows


@dataclass(frozen=True)
class Dataset:
    """A training table with its columns' roles."""

    table: pa.Table
    signature: Signature
    target: str
    time: str


def rows_of(data: Dataset) -> Rows:
    """Columns as matrices, in the order of the signature. BadRequest names every column whose values do not fit."""
    problems: list[str] = []
    numeric, categorical = [], []
    for column in data.signature.columns:
        try:
            if column.type.numeric:
                numeric.append(numbers(data.table[column.name], column))
            else:
                categorical.append(texts(data.table[column.name]))
        except Unfit as error:
            problems.append(str(error))
    try:
        targets = _targets(data)
    except Unfit as error:
        problems.append(str(error))
    if problems:
        raise BadRequest(describe(problems), field="dataset")
    rows = len(data.table)
    return Rows(
        numeric=np.stack(numeric, axis=1) if numeric else np.zeros((rows, 0)),
        categorical=np.stack(categorical, axis=1) if categorical else np.zeros((rows, 0), dtype=object),
        targets=targets,
        times=data.table[data.time].cast(pa.timestamp("us")).to_numpy(),
    )


def _targets(data: Dataset) -> Any:
    column = data.table[data.target]
    if data.signature.task.classifies:
        places = {label: place for place, label in enumerate(data.signature.classes)}
        return np.array([places[label_of(label)] for label in column.to_pylist()], dtype=np.int64)
    values = numbers(column, Column(name=data.target, type=ColumnType.NUMBER))
    if not np.isfinite(values).all():
        raise Unfit(f"column {data.target}: {int((~np.isfinite(values)).sum())} values are missing or not finite")
    return values


def older_rows(data: pa.Table, live: pa.Table, live_time: str, renamed: dict[str, str], rows: int) -> pa.Table | None:
    """The newest `rows` rows of an older training table that precede all of `live`, in its columns; None if none fit.

    renamed: column of the older table to column of `live`. A table that lacks a column, or has one of another type, has
    none.
    """
    table = data.rename_columns([renamed.get(name, name) for name in data.column_names])
    for name in live.column_names:
        if name not in table.column_names and name == live.column_names[-1]:  # the prediction id
            table = table.append_column(name, pa.nulls(len(table), pa.string()))
    if not set(live.column_names) <= set(table.column_names):
        return None
    try:
        table = table.select(live.column_names).cast(live.schema, safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    table = table.filter(pc.less(table[live_time], pc.min(live[live_time])))
    return table.slice(max(len(table) - rows, 0)) if len(table) else None
