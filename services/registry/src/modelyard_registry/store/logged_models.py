"""Logged models in SQL."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, exists, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from modelyard_registry.domain.conditions import Comparison, Order
from modelyard_registry.domain.tracking import Lifecycle, LoggedModel
from modelyard_registry.store.conditions import Condition, attribute, compare
from modelyard_registry.store.keyset import Sorted, page
from modelyard_registry.store.rows import fields
from modelyard_registry.store.tracking_tables import experiments, run_latest, run_metrics
from modelyard_registry.store.tracking_tables import logged_models as t

ATTRIBUTES: Final[dict[str, ColumnElement[Any]]] = {
    "model_id": t.c.id,
    "name": t.c.name,
    "model_name": t.c.name,
    "status": t.c.status,
    "model_type": t.c.model_type,
    "source_run_id": t.c.source_run_id,
}
SORTABLE: Final[dict[str, ColumnElement[Any]]] = {**ATTRIBUTES, "creation_timestamp": t.c.created_at}
NEWEST: Final = (Sorted(t.c.created_at, descending=True), Sorted(t.c.id))


class SqlLoggedModels:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, made: LoggedModel) -> None:
        self._db.execute(insert(t).values(**asdict(made)))

    def get(self, workspace: str, model_id: str, *, lock: bool = False) -> LoggedModel | None:
        query = _in_workspace(workspace).where(t.c.id == model_id)
        row = self._db.execute(query.with_for_update(of=t) if lock else query).one_or_none()
        return _model(row) if row else None

    def save(self, changed: LoggedModel) -> None:
        row = {name: value for name, value in asdict(changed).items() if name != "id"}
        self._db.execute(update(t).where(t.c.id == changed.id).values(**row))

    def of_run(self, run_id: str) -> Sequence[LoggedModel]:
        active = t.c.lifecycle == Lifecycle.ACTIVE.value
        query = select(t).where(t.c.source_run_id == run_id, active).order_by(t.c.created_at, t.c.id)
        return [_model(row) for row in self._db.execute(query)]

    def search(
        self,
        workspace: str,
        experiment_ids: Collection[int],
        where: Sequence[Comparison],
        order: Sequence[Order],
        token: str,
        limit: int,
    ) -> tuple[Sequence[LoggedModel], str | None]:
        query = _in_workspace(workspace).where(
            t.c.experiment_id.in_(experiment_ids), t.c.lifecycle == Lifecycle.ACTIVE.value
        )
        query = query.where(*(self._condition(one) for one in where))
        stated = [Sorted(_column(one), one.descending) for one in order]
        rows, next_token = page(self._db, query, [*stated, *NEWEST], token, limit)
        return [_model(row) for row in rows], next_token

    def _condition(self, wanted: Comparison) -> Condition:
        if wanted.kind == "attribute":
            return compare(self._db, attribute(ATTRIBUTES, wanted.key), wanted)
        if wanted.kind == "metric":
            m, latest = run_metrics.c, run_latest.c
            same = (m.run_id == latest.run_id, m.key == latest.key, m.number == latest.number)
            at = (m.model_id == t.c.id, m.key == wanted.key, *same)
            return exists().where(*at, compare(self._db, latest.value, wanted))
        column = t.c.tags if wanted.kind == "tag" else t.c.params
        return compare(self._db, column[wanted.key].as_string(), wanted)


def _column(order: Order) -> ColumnElement[Any]:
    if order.kind == "attribute":
        return attribute(SORTABLE, order.key)
    column = t.c.tags if order.kind == "tag" else t.c.params
    found: ColumnElement[Any] = column[order.key].as_string()
    return found


def _in_workspace(workspace: str) -> Select[Any]:
    joined = t.join(experiments, experiments.c.id == t.c.experiment_id)
    return select(t).select_from(joined).where(experiments.c.workspace == workspace)


def _model(row: Row[Any]) -> LoggedModel:
    found = {name: value for name, value in fields(row).items() if name in LoggedModel.__dataclass_fields__}
    return LoggedModel(**{**found, "lifecycle": Lifecycle(row.lifecycle)})
