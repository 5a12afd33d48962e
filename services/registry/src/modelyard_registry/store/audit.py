"""The histories of all resources as one list in SQL."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, false, or_, select, true, tuple_
from sqlalchemy.sql.elements import ColumnElement

from modelyard_registry.domain.names import WORKSPACE
from modelyard_registry.domain.values import AuditEntry, AuditLines, AuditScope, Entry, ResourceKey
from modelyard_registry.store.matching import matches
from modelyard_registry.store.rows import fields
from modelyard_registry.store.tables import history, resources

SEARCHED_LINES: Final = 20_000
"""Lines in which one page looks for a text."""
KEY_CHANGES: Final = ("key_created", "key_rotated", "key_revoked", "dead_letters_resent")
"""Changes that only those see who manage keys in the workspace."""
Condition = ColumnElement[bool]
NEWEST: Final = (history.c.recorded_at.desc(), history.c.resource_id.desc(), history.c.position.desc())
PLACE: Final = tuple_(history.c.recorded_at, history.c.resource_id, history.c.position)


def audit(db: Connection, scope: AuditScope, limit: int) -> AuditLines:
    """Return the newest lines of all histories that the scope covers, newest first.

    Conditions on the resource are correlated subqueries, not a join: the lines are then read in the order of the index
    by time, and no further than the page needs. A text is looked for in SEARCHED_LINES lines at most, so that one that
    no line has costs as little as any other; the page then ends where the search did.
    """
    end = _end_of_search(db, scope) if scope.q else None
    query = select(history).where(_readable(scope), *_conditions(scope), true() if end is None else end <= PLACE)
    rows = db.execute(query.order_by(*NEWEST).limit(limit + 1)).all()
    page = rows[:limit]
    keys = _keys(db, {row.resource_id for row in page})
    found = [AuditEntry(row.resource_id, keys[row.resource_id], Entry(**fields(row, "resource_id"))) for row in page]
    last = page[-1] if len(rows) > limit else None
    return AuditLines(found, (last.recorded_at, last.resource_id, last.position) if last else end)


def _end_of_search(db: Connection, scope: AuditScope) -> tuple[datetime, int, int] | None:
    """The oldest line in which a text is looked for; None if there is no older one. Read from an index alone."""
    h = history.c
    places = select(h.recorded_at, h.resource_id, h.position).where(*_span(scope)).order_by(*NEWEST)
    rows = db.execute(places.offset(SEARCHED_LINES - 1).limit(2)).all()
    return (rows[0].recorded_at, rows[0].resource_id, rows[0].position) if len(rows) > 1 else None


def _keys(db: Connection, ids: Collection[int]) -> dict[int, ResourceKey]:
    r = resources.c
    rows = db.execute(select(r.id, r.workspace, r.kind, r.name).where(r.id.in_(sorted(ids))))
    return {row.id: ResourceKey(row.workspace, row.kind, row.name) for row in rows}


def _of_resource(*conditions: Condition) -> Condition:
    """Whether the resource of a line fits."""
    own = resources.c.id == history.c.resource_id
    return select(resources.c.id).where(own, *conditions).correlate(history).exists()


def _readable(scope: AuditScope) -> Condition:
    kinds = [and_(resources.c.kind == kind, _in(names)) for kind, names in sorted(scope.readable.items())]
    about_keys = history.c.change.in_(KEY_CHANGES)
    of_keys = _of_resource(resources.c.kind == WORKSPACE, _in(scope.key_workspaces))
    return or_(and_(~about_keys, _of_resource(or_(false(), *kinds))), and_(about_keys, of_keys))


def _in(workspaces: Collection[str] | None) -> Condition:
    return true() if workspaces is None else resources.c.workspace.in_(sorted(workspaces))


def _conditions(scope: AuditScope) -> list[Condition]:
    h = history.c
    found = _span(scope)
    if scope.action:
        found.append(h.change == scope.action)
    if scope.q:
        named = select(resources.c.id).where(matches(resources.c.name, scope.q))
        texts: tuple[ColumnElement[Any], ...] = (h.reason, h.actor, h.change)
        found.append(or_(*(matches(column, scope.q) for column in texts), h.resource_id.in_(named)))
    return found


def _span(scope: AuditScope) -> list[Condition]:
    """The conditions that an index answers."""
    h, r = history.c, resources.c
    found: list[Condition] = []
    if scope.key is not None:
        key = scope.key
        own = select(r.id).where(r.kind == key.kind, r.workspace == key.workspace, r.name == key.name)
        found.append(h.resource_id == own.scalar_subquery())
    if scope.actor:
        found.append(h.actor == scope.actor)
    if scope.since is not None:
        found.append(h.recorded_at >= scope.since)
    if scope.until is not None:
        found.append(h.recorded_at < scope.until)
    if scope.before is not None:
        found.append(scope.before > PLACE)
    return found
