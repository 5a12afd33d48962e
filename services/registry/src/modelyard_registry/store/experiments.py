"""Experiments in SQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update

from modelyard_registry.domain.conditions import Comparison, Order
from modelyard_registry.domain.tracking import Experiment, Lifecycle
from modelyard_registry.store.conditions import Condition, attribute, compare
from modelyard_registry.store.keyset import Sorted, page
from modelyard_registry.store.rows import fields, insert_once
from modelyard_registry.store.tracking_tables import experiments as t
from modelyard_registry.store.tracking_tables import runs

ATTRIBUTES: Final = {"name": t.c.name}
SORTABLE: Final = {
    "name": t.c.name,
    "experiment_id": t.c.id,
    "creation_time": t.c.id,  # rising ids are rising times, and have no ties
    "last_update_time": t.c.updated_at,
}


class SqlExperiments:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, made: Experiment) -> Experiment | None:
        row = {name: value for name, value in asdict(made).items() if name != "id"}
        return self.named(made.workspace, made.name) if insert_once(self._db, t, row) else None

    def get(self, workspace: str, experiment_id: int) -> Experiment | None:
        return self._one(t.c.workspace == workspace, t.c.id == experiment_id)

    def anywhere(self, experiment_id: int) -> Experiment | None:
        return self._one(t.c.id == experiment_id)

    def named(self, workspace: str, name: str) -> Experiment | None:
        return self._one(t.c.workspace == workspace, t.c.name == name)

    def save(self, changed: Experiment) -> None:
        row = {name: value for name, value in asdict(changed).items() if name not in ("id", "workspace")}
        self._db.execute(update(t).where(t.c.id == changed.id).values(**row))

    def page(
        self,
        workspaces: Collection[str] | None,
        where: Sequence[Comparison],
        order: Sequence[Order],
        lifecycles: Collection[Lifecycle],
        token: str,
        limit: int,
    ) -> tuple[Sequence[Experiment], str | None]:
        query = select(t).where(t.c.lifecycle.in_([one.value for one in lifecycles]))
        if workspaces is not None:
            query = query.where(t.c.workspace.in_(sorted(workspaces)))
        query = query.where(*(self._condition(one) for one in where))
        ordered = [Sorted(attribute(SORTABLE, one.key), one.descending) for one in order]
        rows, next_token = page(self._db, query, [*ordered, Sorted(t.c.id, descending=True)], token, limit)
        return [_experiment(row) for row in rows], next_token

    def counts(self, ids: Collection[int]) -> Mapping[int, int]:
        query = select(runs.c.experiment_id, func.count()).group_by(runs.c.experiment_id)
        query = query.where(runs.c.experiment_id.in_(ids), runs.c.lifecycle == Lifecycle.ACTIVE.value)
        return {row[0]: row[1] for row in self._db.execute(query)}

    def _condition(self, wanted: Comparison) -> Condition:
        if wanted.kind == "tag":
            return compare(self._db, t.c.tags[wanted.key].as_string(), wanted)
        return compare(self._db, attribute(ATTRIBUTES, wanted.key), wanted)

    def _one(self, *where: Condition) -> Experiment | None:
        row = self._db.execute(select(t).where(*where)).one_or_none()
        return _experiment(row) if row else None


def _experiment(row: Row[Any]) -> Experiment:
    names = Experiment.__dataclass_fields__
    found = {name: value for name, value in fields(row).items() if name in names}
    return Experiment(**{**found, "lifecycle": Lifecycle(row.lifecycle)})
