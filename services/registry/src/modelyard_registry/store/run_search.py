"""Searches over runs in SQL: by attributes, parameters, tags and the latest values of metrics."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, exists, select
from sqlalchemy.sql.elements import ColumnElement

from modelyard_registry.domain.conditions import Comparison, Order
from modelyard_registry.domain.tracking import TextKind
from modelyard_registry.store.conditions import Condition, attribute, compare
from modelyard_registry.store.keyset import Sorted
from modelyard_registry.store.tracking_tables import run_latest, run_texts
from modelyard_registry.store.tracking_tables import runs as t

ATTRIBUTES: Final[dict[str, ColumnElement[Any]]] = {
    "run_id": t.c.id,
    "run_name": t.c.name,
    "status": t.c.status,
    "user_id": t.c.user_id,
    "start_time": t.c.start_ms,
    "end_time": t.c.end_ms,
    "created_by": t.c.created_by,
    "model": t.c.model,
}
ALIASES: Final = {"Created": "start_time", "created": "start_time", "run name": "run_name", "name": "run_name"}
TAG_OF_NAME: Final = "mlflow.runName"


def where_of(db: Connection, wanted: Comparison) -> Condition:
    """One condition of a filter."""
    if wanted.kind == "attribute":
        return compare(db, attribute(ATTRIBUTES, ALIASES.get(wanted.key, wanted.key)), wanted)
    if wanted.kind == "metric":
        latest = run_latest.c
        return exists().where(latest.run_id == t.c.id, latest.key == wanted.key, compare(db, latest.value, wanted))
    if wanted.kind == "tag" and wanted.key == TAG_OF_NAME:
        return compare(db, t.c.name, wanted)
    c = run_texts.c
    named = (c.run_id == t.c.id, c.kind == TextKind(wanted.kind).value, c.key == wanted.key)
    return exists().where(*named, compare(db, c.value, wanted))


def order_of(order: Sequence[Order]) -> list[Sorted]:
    """The stated order, then newest first, then by id."""
    stated = [Sorted(_column(one), one.descending) for one in order]
    return [*stated, Sorted(t.c.start_ms, descending=True), Sorted(t.c.id)]


def _column(order: Order) -> ColumnElement[Any]:
    if order.kind == "attribute":
        return attribute(ATTRIBUTES, ALIASES.get(order.key, order.key))
    if order.kind == "metric":
        latest = select(run_latest.c.value).where(run_latest.c.run_id == t.c.id, run_latest.c.key == order.key)
        return latest.scalar_subquery()
    c = run_texts.c
    of_run = (c.run_id == t.c.id, c.kind == TextKind(order.kind).value, c.key == order.key)
    return select(c.value).where(*of_run).scalar_subquery()
