"""The signature of a new version: inferred from a file, or kept from the serving version."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts.signature import MAX_COLUMNS, Column, ColumnType, Output, Signature, Task
from modelyard_contracts.usable import label_of
from modelyard_trainer.domain.data import DataSpec, describe, differences
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.worker.table import column_types

MAX_CLASSES: Final = 100
MAX_CODED_CLASSES: Final = 20
"""Integer targets with at most this many values may be classes or values; the caller must say which."""
MIN_TEXT_CHARACTERS: Final = 30
MIN_TEXT_DISTINCT: Final = 0.5


def signature_of(table: pa.Table, spec: DataSpec, time: str, known: Signature | None) -> Signature:
    """The signature of the version to train. BadRequest names every difference from the serving version's signature.

    time: time column of the table. known: signature of the serving version; kept unless the request asks for a new
    one, so that versions stay comparable.
    """
    if known is None or spec.new_contract:
        return _inferred(table, spec, time)
    found = differences(known, column_types(table)) + _other_task(known, spec) + _other_classes(table, spec, known)
    if found:
        raise BadRequest(describe(found), field="dataset")
    return known


def _inferred(table: pa.Table, spec: DataSpec, time: str) -> Signature:
    columns = tuple(
        Column(name=field.name, type=spec.columns.get(field.name) or _type_of(table, field))
        for field in table.schema
        if field.name not in (spec.target, time)
    )
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise BadRequest(f"dataset: has {len(columns)} feature columns; give 1 to {MAX_COLUMNS}", field="dataset")
    if absent := sorted(set(spec.columns) - {column.name for column in columns}):
        raise BadRequest(f"columns: the file has no column {', '.join(absent)}", field="columns")
    text = [column.type for column in columns] == [ColumnType.TEXT]
    return Signature(input="text" if text else "columns", columns=columns, output=_output(table, spec))


def _type_of(table: pa.Table, field: Any) -> ColumnType:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_boolean(kind):
        return ColumnType.BOOLEAN
    if pa.types.is_integer(kind):
        return ColumnType.INTEGER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return ColumnType.NUMBER
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return ColumnType.TIMESTAMP
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ColumnType.TEXT if _is_text(table[field.name]) else ColumnType.CATEGORY
    raise BadRequest(f"dataset: column {field.name} is {field.type}; give a number or a string", field=field.name)


def _is_text(column: Any) -> bool:
    """Long and mostly different values."""
    values = column.drop_null().cast(pa.string())
    if not len(values):
        return False
    median = float(np.median(pc.utf8_length(values).to_numpy()))
    return median > MIN_TEXT_CHARACTERS and len(pc.unique(values)) > MIN_TEXT_DISTINCT * len(values)


def _output(table: pa.Table, spec: DataSpec) -> Output:
    task = spec.task or _task_of(table[spec.target], spec.target)
    if task is Task.TEXT:
        raise BadRequest("task: text cannot be trained; use binary, multiclass or regression", field="task")
    if not task.classifies:
        return Output(task=task, name=spec.target)
    classes = classes_of(table[spec.target])
    if task is Task.BINARY and len(classes) != 2:
        raise BadRequest(f"task: binary needs 2 classes; {spec.target} has {len(classes)}", field="task")
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise BadRequest(
            f"dataset: {len(classes)} classes in {spec.target}; a classifier needs 2 to {MAX_CLASSES}",
            field=spec.target,
        )
    return Output(task=task, name=spec.target, classes=classes)


def _task_of(target: Any, name: str) -> Task:
    distinct = len(pc.unique(target))
    if distinct == 2:
        return Task.BINARY
    if pa.types.is_floating(target.type) or pa.types.is_decimal(target.type):
        return Task.REGRESSION
    if pa.types.is_integer(target.type):
        if distinct > MAX_CODED_CLASSES:
            return Task.REGRESSION
        raise BadRequest(
            f"task: {name} has {distinct} integer values, which may be classes or values; "
            "send the task multiclass or regression",
            field="task",
        )
    return Task.MULTICLASS


def classes_of(target: Any) -> tuple[str, ...]:
    """Classes of a target column, numbers in their order."""
    found = pc.unique(target).to_pylist()
    return tuple(label_of(value) for value in sorted(found, key=lambda value: (isinstance(value, str), value)))


def _other_task(known: Signature, spec: DataSpec) -> list[str]:
    if spec.task in (None, known.task):
        return []
    return [f"the task is {spec.task}, the signature has {known.task}"]


def _other_classes(table: pa.Table, spec: DataSpec, known: Signature) -> list[str]:
    if not known.task.classifies:
        return []
    unknown = [label for label in classes_of(table[spec.target]) if label not in known.classes]
    if not unknown:
        return []
    return [f"{spec.target} has the classes {', '.join(unknown[:10])}, the signature has {', '.join(known.classes)}"]
