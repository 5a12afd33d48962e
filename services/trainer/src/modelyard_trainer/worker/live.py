"""Stored predictions as a training table: positions become columns."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts.signature import ColumnType, Signature
from modelyard_trainer.domain.data import ID, TARGET, TIME

_ARROW_TYPES = {ColumnType.BOOLEAN: pa.bool_(), ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC")}


@dataclass(frozen=True)
class Names:
    """Columns of a snapshot besides the features; underscores keep them apart from features of the same name."""

    target: str
    time: str
    id: str

    @classmethod
    def beside(cls, signature: Signature) -> "Names":
        """Names that no column of the signature has."""
        features = {column.name for column in signature.columns}
        return cls(*(_free(name, features) for name in (TARGET, TIME, ID)))


def _free(name: str, features: set[str]) -> str:
    while name in features:
        name = f"_{name}"
    return name


def table_of(found: Any, signature: Signature) -> pa.Table:
    """Usable rows as named columns: the features in the order of the signature, then target, time and prediction id.

    found: num_features and cat_features (lists in the order of the signature), truth, predicted_at and prediction_id.
    """
    names = Names.beside(signature)
    columns: dict[str, Any] = {}
    for place, name in enumerate(signature.numeric):
        columns[name] = _elements(found["num_features"], place, pa.float64())
    for place, name in enumerate(signature.categorical):
        columns[name] = _elements(found["cat_features"], place, pa.string())
    table = {column.name: _typed(columns[column.name], column.type) for column in signature.columns}
    table[names.target] = found["truth"].cast(pa.string() if signature.task.classifies else pa.float64())
    table[names.time] = found["predicted_at"].cast(pa.timestamp("us", tz="UTC"))
    table[names.id] = found["prediction_id"].cast(pa.string())
    return pa.table(table)


def _elements(lists: Any, place: int, arrow_type: Any) -> Any:
    return pc.list_element(lists, place).cast(arrow_type) if len(lists) else pa.array([], arrow_type)


def _typed(column: Any, kind: ColumnType) -> Any:
    if kind is ColumnType.BOOLEAN:
        return pc.not_equal(column, 0.0)
    if kind is ColumnType.TIMESTAMP:
        whole = pc.if_else(pc.is_finite(column), pc.round(pc.multiply(column, 1e6)), None)
        return pc.cast(whole, pa.int64(), safe=False).cast(_ARROW_TYPES[kind])
    return column
