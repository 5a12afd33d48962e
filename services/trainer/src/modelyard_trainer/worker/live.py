"""Stored predictions as a training table: which rows are usable, and how positions become columns."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts.signature import ColumnType, Signature
from modelyard_profiles.columns import is_number
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


def usable(found: Any, signature: Signature) -> tuple[Any, dict[str, int]]:
    """Return the usable rows of stored predictions, and the numbers of rows left out by reason.

    found: Arrow table with num_features and cat_features (lists in the order of the signature), truth (label, or value
    of a regression, as text), predicted_at and prediction_id. A row is usable if both lists have the signature's
    length and its truth is one of the classes, or a finite number for a regression. Everything else is left out and
    reported, so that one row cannot stop a training.
    """
    fits = pc.and_(
        pc.equal(pc.list_value_length(found["num_features"]), len(signature.numeric)),
        pc.equal(pc.list_value_length(found["cat_features"]), len(signature.categorical)),
    )
    fits = pc.fill_null(fits, False)
    labelled = _labelled(found["truth"], signature)
    counts = {
        "features": len(found) - _true(fits),
        "label": _true(pc.and_(fits, pc.invert(labelled))),
    }
    return found.filter(pc.and_(fits, labelled)), {reason: count for reason, count in counts.items() if count}


def _true(mask: Any) -> int:
    return int(pc.sum(pc.cast(mask, pa.int64())).as_py() or 0)


def _labelled(labels: Any, signature: Signature) -> Any:
    texts = labels.cast(pa.string())
    if signature.task.classifies:
        return pc.fill_null(pc.is_in(texts, value_set=pa.array(signature.classes, pa.string())), False)
    return pa.array([text is not None and is_number(text) for text in texts.to_pylist()], pa.bool_())


def table_of(found: Any, signature: Signature) -> pa.Table:
    """Usable rows as named columns: the features in the order of the signature, then target, time and prediction id."""
    names = Names.beside(signature)
    columns: dict[str, Any] = {}
    for place, name in enumerate(signature.numeric):
        columns[name] = _elements(found["num_features"], place, pa.float64())
    for place, name in enumerate(signature.categorical):
        columns[name] = _elements(found["cat_features"], place, pa.string())
    table = {column.name: _typed(columns[column.name], column.type) for column in signature.columns}
    labels = found["truth"].cast(pa.string())
    table[names.target] = labels if signature.task.classifies else labels.cast(pa.float64())
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
