"""Resources in SQL."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, or_, select, update

from modelyard_registry.domain.errors import resource_not_found
from modelyard_registry.domain.values import NewResource, Origin, Resource, ResourceKey
from modelyard_registry.store.rows import fields, insert_once
from modelyard_registry.store.tables import resources as t


class SqlResources:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, resource: NewResource, origin: Origin) -> bool:
        key = resource.key
        row = {
            "workspace": key.workspace,
            "kind": key.kind,
            "name": key.name,
            "description": resource.description,
            "owner": resource.owner,
            "labels": dict(resource.labels),
            "revision": 0,
            "entries": 0,
            "last_version": 0,
            "created_at": origin.at,
            "created_by": origin.actor,
        }
        return insert_once(self._db, t, row)

    def get(self, key: ResourceKey) -> Resource:
        return self._one(key, _at(key))

    def lock(self, key: ResourceKey) -> Resource:
        # In a writing transaction SQLite locks the whole database; it leaves FOR UPDATE out.
        return self._one(key, _at(key).with_for_update())

    def describe(self, resource: Resource, description: str, labels: Mapping[str, str]) -> None:
        values = {"description": description, "labels": dict(labels)}
        self._db.execute(update(t).where(t.c.id == resource.id).values(**values))

    def set_owner(self, resource: Resource, owner: str) -> None:
        self._db.execute(update(t).where(t.c.id == resource.id).values(owner=owner))

    def page(
        self, kind: str, after: ResourceKey | None, limit: int, workspaces: Collection[str] | None
    ) -> Sequence[Resource]:
        query = select(t).where(t.c.kind == kind).order_by(t.c.workspace, t.c.name).limit(limit)
        if workspaces is not None:
            query = query.where(t.c.workspace.in_(sorted(workspaces)))
        if after is not None:
            same = and_(t.c.workspace == after.workspace, t.c.name > after.name)
            query = query.where(or_(t.c.workspace > after.workspace, same))
        return [resource_of(row) for row in self._db.execute(query)]

    def _one(self, key: ResourceKey, query: Select[Any]) -> Resource:
        row = self._db.execute(query).one_or_none()
        if row is None:
            raise resource_not_found(key)
        return resource_of(row)


def _at(key: ResourceKey) -> Select[Any]:
    return select(t).where(t.c.kind == key.kind, t.c.workspace == key.workspace, t.c.name == key.name)


def resource_of(row: Row[Any]) -> Resource:
    """Return the resource in a row, which may have further columns."""
    found = {name: value for name, value in fields(row).items() if name in Resource.__dataclass_fields__}
    return Resource(key=ResourceKey(row.workspace, row.kind, row.name), **found)
