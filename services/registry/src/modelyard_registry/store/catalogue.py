"""Models that are incomplete, unused or duplicates in SQL."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, not_, or_, select
from sqlalchemy.sql.elements import ColumnElement

from modelyard_registry.domain.names import CHAMPION, MODEL
from modelyard_registry.domain.values import Neglected, ResourceKey
from modelyard_registry.store.search import after_name, with_shown
from modelyard_registry.store.tables import aliases, card_revisions, resources, version_files, versions


class SqlCatalogue:
    """One connection's view; reads only."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def neglected(
        self, workspaces: Collection[str] | None, after: ResourceKey | None, limit: int
    ) -> Sequence[Neglected]:
        rows = self._db.execute(_neglected(workspaces, after).limit(limit))
        return [Neglected(ResourceKey(*row[:3]), *map(bool, row[3:])) for row in rows]


def _neglected(workspaces: Collection[str] | None, after: ResourceKey | None) -> Select[Any]:
    """The models with at least one problem, by workspace and name."""
    r = resources.c
    flags = {
        "no_owner": r.owner == "",
        "no_card": not_(_exists(card_revisions, card_revisions.c.resource_id == r.id)),
        # A row of the alias stays when the alias is dropped, so it shows whether any version ever served.
        "never_live": not_(_exists(aliases, aliases.c.resource_id == r.id, aliases.c.alias == CHAMPION)),
        "duplicate": _duplicate(),
    }
    columns = [condition.label(name) for name, condition in flags.items()]
    query = with_shown(select(r.workspace, r.kind, r.name, *columns)).where(r.kind == MODEL, or_(*flags.values()))
    if workspaces is not None:
        query = query.where(r.workspace.in_(sorted(workspaces)))
    if after is not None:
        query = query.where(after_name(after))
    return query.order_by(r.workspace, r.name)


def _exists(table: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(table.c.resource_id).where(*conditions).correlate(resources).exists()


def _duplicate() -> ColumnElement[bool]:
    """Condition: a file with at least half of the bytes of the shown version is also another model's."""
    own, all_own, theirs = version_files.alias(), version_files.alias(), version_files.alias()
    of_shown = [
        and_(t.c.resource_id == versions.c.resource_id, t.c.version == versions.c.version) for t in (own, all_own)
    ]
    size = select(func.sum(all_own.c.size_bytes)).where(of_shown[1]).correlate(versions).scalar_subquery()
    shared = select(own.c.digest).join(
        theirs, and_(theirs.c.digest == own.c.digest, theirs.c.resource_id != own.c.resource_id)
    )
    return shared.where(of_shown[0], own.c.size_bytes * 2 >= size).correlate(versions).exists()
