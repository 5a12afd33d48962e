"""Connections to providers in SQL."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from modelyard_registry.domain.connections import StoredConnection
from modelyard_registry.domain.names import CONNECTION
from modelyard_registry.domain.values import Origin, Resource, ResourceKey
from modelyard_registry.store.rows import upsert
from modelyard_registry.store.search import after_name
from modelyard_registry.store.tables import connections as t
from modelyard_registry.store.tables import resources


class SqlConnections:
    """One connection's view; writes belong inside a transaction, under the lock of the resource."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def get(self, resource: Resource) -> StoredConnection | None:
        row = self._db.execute(_selected().where(t.c.resource_id == resource.id)).one_or_none()
        return _stored(row) if row else None

    def save(self, resource: Resource, revision: int, document: dict[str, Any] | None, origin: Origin) -> None:
        row = {"resource_id": resource.id, "revision": revision, "document": document}
        upsert(self._db, t, {**row, "changed_at": origin.at, "changed_by": origin.actor}, key=("resource_id",))

    def page(
        self, after: ResourceKey | None, limit: int, workspaces: Collection[str] | None
    ) -> Sequence[StoredConnection]:
        r = resources.c
        query = _selected().where(r.kind == CONNECTION, t.c.document.is_not(None))
        if workspaces is not None:
            query = query.where(r.workspace.in_(sorted(workspaces)))
        if after is not None:
            query = query.where(after_name(after))
        return [_stored(row) for row in self._db.execute(query.order_by(r.workspace, r.name).limit(limit))]


def _selected() -> Select[Any]:
    r = resources.c
    return select(r.workspace, r.kind, r.name, t).join(resources, r.id == t.c.resource_id)


def _stored(row: Row[Any]) -> StoredConnection:
    key = ResourceKey(row.workspace, row.kind, row.name)
    return StoredConnection(key, row.revision, row.document, row.changed_at, row.changed_by)
