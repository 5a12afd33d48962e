"""Searches over models and versions of one workspace in SQL, with MLflow's filters and orders."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, false, select, true
from sqlalchemy.sql.elements import ColumnElement

from modelyard_registry.domain.conditions import Comparison, Order
from modelyard_registry.domain.names import MODEL
from modelyard_registry.domain.values import Resource, ResourceKey, Version
from modelyard_registry.store.conditions import Condition, attribute, compare
from modelyard_registry.store.keyset import Sorted, page
from modelyard_registry.store.lineage import forms_of_run
from modelyard_registry.store.resources import resource_of
from modelyard_registry.store.tables import resources as r
from modelyard_registry.store.tables import versions as v
from modelyard_registry.store.versions import version_of

Columns = Mapping[str, ColumnElement[Any]]
PROMPT: Final = "mlflow.prompt.is_prompt"
"""MLflow keeps prompts among its models and marks them; here they are another kind, so no model is one."""
OF_MODELS: Final[Columns] = {"name": r.c.name}
OF_VERSIONS: Final[Columns] = {"name": r.c.name, "run_id": v.c.run_id}
MODEL_ORDERS: Final[Columns] = {
    **OF_MODELS,
    "creation_timestamp": r.c.created_at,
    "last_updated_timestamp": r.c.created_at,
    "timestamp": r.c.created_at,
}
VERSION_ORDERS: Final[Columns] = {
    "name": r.c.name,
    "version_number": v.c.version,
    "version": v.c.version,
    "creation_timestamp": v.c.created_at,
    "last_updated_timestamp": v.c.created_at,
}


class SqlModelSearch:
    """One connection's view; reads only."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def models(
        self, workspace: str, where: Sequence[Comparison], order: Sequence[Order], token: str, limit: int
    ) -> tuple[Sequence[Resource], str | None]:
        query = select(r).where(r.c.workspace == workspace, r.c.kind == MODEL)
        query = query.where(*(self._condition(one, OF_MODELS, r.c.labels) for one in where))
        rows, next_token = page(self._db, query, [*_stated(order, MODEL_ORDERS), Sorted(r.c.name)], token, limit)
        return [resource_of(row) for row in rows], next_token

    def versions(
        self, workspace: str, where: Sequence[Comparison], order: Sequence[Order], token: str, limit: int
    ) -> tuple[Sequence[tuple[ResourceKey, Version]], str | None]:
        joined = v.join(r, r.c.id == v.c.resource_id)
        query = select(v, r.c.workspace, r.c.kind, r.c.name).select_from(joined)
        query = query.where(r.c.workspace == workspace, r.c.kind == MODEL)
        query = query.where(*(self._condition(one, OF_VERSIONS, v.c.tags) for one in where))
        newest = [Sorted(v.c.resource_id, descending=True), Sorted(v.c.version, descending=True)]
        rows, next_token = page(self._db, query, [*_stated(order, VERSION_ORDERS), *newest], token, limit)
        return [(ResourceKey(row.workspace, row.kind, row.name), version_of(row)) for row in rows], next_token

    def newest(self, resources: Sequence[Resource]) -> Mapping[int, Version]:
        at = and_(v.c.resource_id == r.c.id, v.c.version == r.c.last_version)
        query = select(v).join(r, at).where(r.c.id.in_([one.id for one in resources]))
        return {row.resource_id: version_of(row) for row in self._db.execute(query)}

    def _condition(self, wanted: Comparison, known: Columns, tags: ColumnElement[Any]) -> Condition:
        if wanted.kind == "tag" and wanted.key == PROMPT:
            return true() if wanted.operator == "!=" else false()
        if wanted.kind == "tag":
            return compare(self._db, tags[wanted.key].as_string(), wanted)
        if wanted.key == "run_id" and wanted.operator == "=" and "run_id" in known:
            return v.c.run_id.in_(forms_of_run(str(wanted.value)))
        return compare(self._db, attribute(known, wanted.key), wanted)


def _stated(order: Sequence[Order], known: Columns) -> list[Sorted]:
    return [Sorted(attribute(known, one.key), one.descending) for one in order]
