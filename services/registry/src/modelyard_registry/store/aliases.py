"""Aliases in SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, select

from modelyard_registry.domain.values import Alias, Resource
from modelyard_registry.store.rows import fields, upsert
from modelyard_registry.store.tables import aliases as t
from modelyard_registry.store.tables import versions


class SqlAliases:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def get(self, resource: Resource, alias: str) -> Alias | None:
        row = self._db.execute(_of(resource).where(t.c.alias == alias)).one_or_none()
        return _alias(row) if row else None

    def all(self, resource: Resource) -> Sequence[Alias]:
        query = _of(resource).where(t.c.version.is_not(None)).order_by(t.c.alias)
        return [_alias(row) for row in self._db.execute(query)]

    def of_many(self, resources: Sequence[Resource]) -> dict[int, dict[str, int]]:
        ids = [resource.id for resource in resources]
        query = select(t.c.resource_id, t.c.alias, t.c.version).where(
            t.c.resource_id.in_(ids), t.c.version.is_not(None)
        )
        found: dict[int, dict[str, int]] = {id_: {} for id_ in ids}
        for id_, alias, version in self._db.execute(query):
            found[id_][alias] = version
        return found

    def save(self, resource: Resource, alias: Alias) -> None:
        row = {"resource_id": resource.id, **asdict(alias)}
        del row["digest"]
        upsert(self._db, t, row, key=("resource_id", "alias"))


def _of(resource: Resource) -> Select[Any]:
    same = and_(versions.c.resource_id == t.c.resource_id, versions.c.version == t.c.version)
    return select(t, versions.c.digest).outerjoin_from(t, versions, same).where(t.c.resource_id == resource.id)


def _alias(row: Row[Any]) -> Alias:
    return Alias(**fields(row, "resource_id"))
