"""Runs and their values in SQL."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, tuple_, update

from modelyard_registry.domain.conditions import Comparison, Order
from modelyard_registry.domain.tracking import Found, Lifecycle, Point, Run, RunData, RunStatus, TextKind
from modelyard_registry.store.keyset import page
from modelyard_registry.store.rows import fields, insert_all_once, upsert
from modelyard_registry.store.run_search import order_of, where_of
from modelyard_registry.store.tracking_tables import experiments, run_latest, run_metrics, run_texts
from modelyard_registry.store.tracking_tables import runs as t

Points = Mapping[str, Sequence[tuple[str, Point]]]


class SqlRuns:
    """One connection's view; writes belong inside a transaction, under the lock of the run."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, run: Run) -> None:
        self._db.execute(insert(t).values(**asdict(run)))

    def get(self, workspace: str, run_id: str, *, lock: bool = False) -> Run | None:
        query = _in_workspace(select(t), workspace).where(t.c.id == run_id)
        row = self._db.execute(query.with_for_update(of=t) if lock else query).one_or_none()
        return run_of(row) if row else None

    def workspace_of(self, run_id: str) -> str | None:
        query = select(experiments.c.workspace).join(t, t.c.experiment_id == experiments.c.id).where(t.c.id == run_id)
        return self._db.execute(query).scalar_one_or_none()

    def save(self, changed: Run) -> None:
        row = {name: value for name, value in asdict(changed).items() if name != "id"}
        self._db.execute(update(t).where(t.c.id == changed.id).values(**row))

    def data(self, run_ids: Collection[str]) -> Mapping[str, RunData]:
        texts: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        c = run_texts.c
        for run_id, kind, key, value in self._db.execute(
            select(c.run_id, c.kind, c.key, c.value).where(c.run_id.in_(run_ids)).order_by(c.key)
        ):
            texts[run_id, kind][key] = value
        metrics: dict[str, dict[str, Point]] = defaultdict(dict)
        for row in self._db.execute(
            select(run_latest).where(run_latest.c.run_id.in_(run_ids)).order_by(run_latest.c.key)
        ):
            metrics[row.run_id][row.key] = Point(row.key, float(row.number), row.step, row.timestamp_ms)
        return {id_: RunData(texts[id_, TextKind.PARAM], texts[id_, TextKind.TAG], metrics[id_]) for id_ in run_ids}

    def set_texts(self, run_id: str, kind: TextKind, texts: Mapping[str, str]) -> None:
        for key in sorted(texts):
            row = {"run_id": run_id, "kind": kind.value, "key": key, "value": texts[key]}
            upsert(self._db, run_texts, row, key=("run_id", "kind", "key"))

    def texts(self, run_id: str, kind: TextKind, keys: Collection[str]) -> Mapping[str, str]:
        c = run_texts.c
        query = select(c.key, c.value).where(c.run_id == run_id, c.kind == kind.value, c.key.in_(keys))
        return {row.key: row.value for row in self._db.execute(query)}

    def drop_tag(self, run_id: str, key: str) -> bool:
        c = run_texts.c
        where = (c.run_id == run_id, c.kind == TextKind.TAG.value, c.key == key)
        return self._db.execute(delete(run_texts).where(*where).returning(c.key)).first() is not None

    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        insert_all_once(self._db, run_metrics, [_row(run_id, point) for point in points])
        known = self._latest(run_id, {point.key for point in points})
        latest = dict(known)
        for point in points:
            if point.key not in latest or latest[point.key].order <= point.order:
                latest[point.key] = point
        for key, point in sorted(latest.items()):
            if known.get(key) != point:
                upsert(self._db, run_latest, _latest_row(run_id, point), key=("run_id", "key"))

    def points(self, run_id: str, key: str, after: tuple[int, int, str] | None, limit: int) -> Sequence[Point]:
        c = run_metrics.c
        query = select(run_metrics).where(c.run_id == run_id, c.key == key)
        if after is not None:
            query = query.where(tuple_(c.step, c.timestamp_ms, c.number) > after)
        rows = self._db.execute(query.order_by(c.step, c.timestamp_ms, c.number).limit(limit))
        return [_point(row) for row in rows]

    def points_of_model(self, model_ids: Collection[str]) -> Points:
        c = run_metrics.c
        query = select(run_metrics).where(c.model_id.in_(model_ids)).order_by(c.key, c.step, c.timestamp_ms)
        found: dict[str, list[tuple[str, Point]]] = defaultdict(list)
        for row in self._db.execute(query):
            found[row.model_id].append((row.run_id, _point(row)))
        return found

    def search(
        self,
        workspace: str,
        experiment_ids: Collection[int],
        where: Sequence[Comparison],
        order: Sequence[Order],
        lifecycles: Collection[Lifecycle],
        token: str,
        limit: int,
    ) -> Found:
        query = _in_workspace(select(t), workspace).where(
            t.c.experiment_id.in_(experiment_ids), t.c.lifecycle.in_([one.value for one in lifecycles])
        )
        query = query.where(*(where_of(self._db, one) for one in where))
        rows, next_token = page(self._db, query, order_of(order), token, limit)
        return Found([run_of(row) for row in rows], next_token)

    def _latest(self, run_id: str, keys: Collection[str]) -> dict[str, Point]:
        query = select(run_latest).where(run_latest.c.run_id == run_id, run_latest.c.key.in_(keys))
        rows = self._db.execute(query)
        return {row.key: Point(row.key, float(row.number), row.step, row.timestamp_ms) for row in rows}


def run_of(row: Row[Any]) -> Run:
    """A run from its row, which may have further columns."""
    found = {name: value for name, value in fields(row).items() if name in Run.__dataclass_fields__}
    return Run(**{**found, "status": RunStatus(row.status), "lifecycle": Lifecycle(row.lifecycle)})


def _in_workspace(query: Select[Any], workspace: str) -> Select[Any]:
    return query.join(experiments, experiments.c.id == t.c.experiment_id).where(experiments.c.workspace == workspace)


def _row(run_id: str, point: Point) -> dict[str, Any]:
    return {"run_id": run_id, **asdict(point), "number": repr(point.number)}


def _latest_row(run_id: str, point: Point) -> dict[str, Any]:
    value = None if point.number != point.number else point.number
    at = {"step": point.step, "timestamp_ms": point.timestamp_ms}
    return {"run_id": run_id, "key": point.key, **at, "number": repr(point.number), "value": value}


def _point(row: Row[Any]) -> Point:
    return Point(**{**fields(row, "run_id"), "number": float(row.number)})
