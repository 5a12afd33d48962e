"""Versions that share files or tensors in SQL."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Subquery, Table, func, not_, select, true

from modelyard_contracts.example import EXAMPLE_FILE
from modelyard_registry.domain.names import MODEL
from modelyard_registry.domain.values import Resource, ResourceKey, Shared
from modelyard_registry.store.tables import resources, version_files, version_tensors, versions

MAX_LOOKED_UP = 64
"""Digests looked up per version, those of the largest files or tensors: small ones, such as an empty bias or a common
tokenizer file, are shared by versions that have nothing else in common."""
MAX_ROWS = 20_000
"""Rows of the index that are read; a digest that is in more versions than that says little about each of them."""


class SqlResemblances:
    """One connection's view; reads only."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def by_files(
        self, resource: Resource, version: int, workspaces: Collection[str] | None, limit: int
    ) -> Sequence[Shared]:
        return self._sharing(version_files, resource, version, workspaces, limit)

    def by_tensors(
        self, resource: Resource, version: int, workspaces: Collection[str] | None, limit: int
    ) -> Sequence[Shared]:
        return self._sharing(version_tensors, resource, version, workspaces, limit)

    def _sharing(
        self, table: Table, resource: Resource, version: int, workspaces: Collection[str] | None, limit: int
    ) -> Sequence[Shared]:
        r, v = resources.c, versions.c
        found = _holders(table, resource, version)
        size = func.sum(found.c.size_bytes)
        query = (
            select(r.workspace, r.kind, r.name, v.version, v.digest, func.count(), size)
            .join_from(found, versions, (v.resource_id == found.c.resource_id) & (v.version == found.c.version))
            .join(resources, r.id == v.resource_id)
            .where(r.kind == MODEL, v.stage != "pending")
            .group_by(r.workspace, r.kind, r.name, v.version, v.digest)
            .order_by(size.desc(), r.workspace, r.name, v.version)
        )
        if workspaces is not None:
            query = query.where(r.workspace.in_(sorted(workspaces)))
        return [Shared(ResourceKey(*row[:3]), *row[3:]) for row in self._db.execute(query.limit(limit))]


def _holders(table: Table, resource: Resource, version: int) -> Subquery:
    """Rows of other versions with one of the largest digests of this version."""
    t = table.c
    own = (t.resource_id == resource.id) & (t.version == version)
    # The example is generated at registration from a sample and is no evidence about the model.
    made_elsewhere = t.path != EXAMPLE_FILE if table is version_files else true()
    largest: Select[Any] = (
        select(t.digest).where(own, made_elsewhere).order_by(t.size_bytes.desc(), t.digest).limit(MAX_LOOKED_UP)
    )
    others = select(t.resource_id, t.version, t.size_bytes).where(
        t.digest.in_(largest.scalar_subquery()), not_(own), made_elsewhere
    )
    return others.limit(MAX_ROWS).subquery()
