"""Reads over many resources in SQL: lists with figures, facets, versions at a stage."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Row,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from modelyard_contracts import VersionStage
from modelyard_registry.domain.names import CHAMPION
from modelyard_registry.domain.values import (
    TRAINED,
    AuditLines,
    AuditScope,
    DigestMatch,
    Facets,
    Resource,
    ResourceFilter,
    ResourceKey,
    ResourceSort,
    StagedVersion,
    VersionSummary,
)
from modelyard_registry.store.audit import audit
from modelyard_registry.store.lineage import of_resource
from modelyard_registry.store.matching import matches
from modelyard_registry.store.resources import resource_of
from modelyard_registry.store.rows import fields
from modelyard_registry.store.tables import (
    aliases,
    card_revisions,
    history,
    resources,
    stage_counts,
    version_files,
    versions,
)

MAX_FACET_VALUES: Final = 100
Condition = ColumnElement[bool]
FACETS: Final[Mapping[str, ColumnElement[Any]]] = {
    "owner": resources.c.owner,
    "workspace": resources.c.workspace,
    "flavour": versions.c.flavour,
    "task": versions.c.task,
    "framework": versions.c.framework,
    "license": versions.c.license,
    "source": case((versions.c.version.is_not(None), func.coalesce(versions.c.source_kind, TRAINED))),
    "scan_verdict": versions.c.scan_verdict,
}
"""Facets besides the stage; from `flavour` on, of the shown version."""
OF_RESOURCE: Final = frozenset({"owner", "workspace"})
STAGE: Final = "stage"

champions = aliases.alias("champions")
IS_CHAMPION: Final = and_(champions.c.resource_id == resources.c.id, champions.c.alias == CHAMPION)
SHOWN: Final = and_(
    versions.c.resource_id == resources.c.id,
    versions.c.version == func.coalesce(champions.c.version, resources.c.last_version),
)
"""The version that a list describes: the champion, or the newest one."""


class SqlSearch:
    """One connection's view; reads only."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def page(
        self, kind: str, where: ResourceFilter, sort: ResourceSort, after: ResourceKey | None, limit: int
    ) -> Sequence[Resource]:
        query = _found(select(resources), kind, where)
        if after is not None:
            query = query.where(_after(kind, sort, after))
        return [resource_of(row) for row in self._db.execute(query.order_by(*_order(sort)).limit(limit))]

    def summaries(self, found: Sequence[Resource]) -> Mapping[int, VersionSummary]:
        ids = [resource.id for resource in found]
        stages = self._stages(ids)
        query = with_shown(select(resources.c.id, champions.c.version, versions.c.flavour, versions.c.task)).where(
            resources.c.id.in_(ids)
        )
        return {
            id_: VersionSummary(champion, stages[id_], flavour, task)
            for id_, champion, flavour, task in self._db.execute(query)
        }

    def facets(self, kind: str, where: ResourceFilter, only: Collection[str] = ()) -> Facets:
        found: dict[str, dict[str, int]] = {name: {} for name in (*FACETS, STAGE)}
        for name, value, count in self._db.execute(_facets(kind, where, only or found)):
            found[name][value] = count
        return Facets(**{name: _most_frequent(counts) for name, counts in found.items()})

    def versions_at(
        self,
        kind: str,
        stage: VersionStage,
        workspaces: Collection[str] | None,
        after: tuple[datetime, int, int] | None,
        limit: int,
    ) -> Sequence[StagedVersion]:
        place = tuple_(versions.c.created_at, versions.c.resource_id, versions.c.version)
        query = _staged().where(resources.c.kind == kind, versions.c.stage == stage.value)
        if workspaces is not None:
            query = query.where(resources.c.workspace.in_(sorted(workspaces)))
        if after is not None:
            query = query.where(place < after)
        newest = (versions.c.created_at.desc(), versions.c.resource_id.desc(), versions.c.version.desc())
        rows = self._db.execute(query.order_by(*newest).limit(limit))
        return self._with_arrival([_staged_version(row) for row in rows], stage)

    def by_digest(
        self, first: str, last: str, readable: Mapping[str, Collection[str] | None], limit: int
    ) -> Sequence[DigestMatch]:
        v, f = versions.c, version_files.c
        own = select(v.resource_id, v.version, literal(None).label("path")).where(v.digest >= first, v.digest < last)
        files = select(f.resource_id, f.version, f.path).where(f.digest >= first, f.digest < last)
        found = union_all(own, files).subquery()
        at = and_(found.c.resource_id == v.resource_id, found.c.version == v.version)
        query = _staged().add_columns(found.c.path.label("file_path")).join(found, at).where(_readable(readable))
        newest = (v.created_at.desc(), v.resource_id.desc(), v.version.desc(), found.c.path)
        rows = self._db.execute(query.order_by(*newest).limit(limit))
        return [DigestMatch(_staged_version(row), row.file_path) for row in rows]

    def audit(self, scope: AuditScope, limit: int) -> AuditLines:
        return audit(self._db, scope, limit)

    def _stages(self, ids: Sequence[int]) -> dict[int, dict[str, int]]:
        c = stage_counts.c
        query = select(c.resource_id, c.stage, c.versions).where(c.resource_id.in_(ids), c.versions > 0)
        found: dict[int, dict[str, int]] = defaultdict(dict)
        for id_, stage, count in self._db.execute(query):
            found[id_][stage] = count
        return found

    def _with_arrival(self, found: list[StagedVersion], stage: VersionStage) -> list[StagedVersion]:
        """Add when and why each version last reached the stage."""
        h = history.c
        # Two lists instead of one of pairs: both are looked up in an index on SQLite too.
        ids, numbers = {one.resource_id for one in found}, {one.version for one in found}
        query = select(h.resource_id, h.version, h.occurred_at, h.reason).where(
            h.resource_id.in_(ids), h.version.in_(numbers), h.stage == stage.value
        )
        last = {(row[0], row[1]): (row[2], row[3]) for row in self._db.execute(query.order_by(h.position))}
        return [
            replace(one, stage_since=at, stage_reason=reason)
            for one in found
            for at, reason in [last.get((one.resource_id, one.version), (None, ""))]
        ]


def _found(query: Select[Any], kind: str, where: ResourceFilter, *, joined: bool = False) -> Select[Any]:
    """Add the conditions. joined: the query joins what the conditions on the shown version need, or has none."""
    if where.needs_shown and not joined:
        query = with_shown(query)
    return query.where(resources.c.kind == kind, *_conditions(where))


def with_shown(query: Select[Any]) -> Select[Any]:
    """Join the version that a list describes."""
    return query.select_from(resources.outerjoin(champions, IS_CHAMPION).outerjoin(versions, SHOWN))


def _facets(kind: str, where: ResourceFilter, names: Collection[str]) -> CompoundSelect[Any]:
    """Select facet, value and number of resources; the resources are found once for all facets."""
    c, s = {name: column for name, column in FACETS.items() if name in names}, stage_counts.c
    described = select(resources.c.id, *(column.label(name) for name, column in c.items()))
    of_shown = not set(c) <= OF_RESOURCE
    found = _found(with_shown(described) if of_shown else described, kind, where, joined=of_shown).cte("found")
    counted = [_counted(name, found.c[name]) for name in c]
    if STAGE in names:
        stages = select(literal(STAGE), s.stage, func.count()).join(found, found.c.id == s.resource_id)
        counted.append(stages.where(s.versions > 0).group_by(s.stage))
    return union_all(*counted)


def _counted(name: str, value: ColumnElement[Any]) -> Select[Any]:
    return select(literal(name), value, func.count()).where(value.is_not(None)).group_by(value)


def _most_frequent(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MAX_FACET_VALUES])


def _conditions(where: ResourceFilter) -> list[Condition]:
    r = resources.c
    found: list[Condition] = []
    if where.workspaces is not None:
        found.append(r.workspace.in_(sorted(where.workspaces)))
    if where.q:
        found.append(
            or_(
                matches(r.name, where.q),
                matches(r.description, where.q),
                matches(r.owner, where.q),
                matches(r.labels, where.q),
                matches(versions.c.tags, where.q),
                _in_a_card(where.q),
            )
        )
    if where.owner is not None:
        found.append(r.owner == where.owner)
    if where.label is not None:
        found.append(r.labels[where.label[0]].as_string() == where.label[1])
    if where.stage is not None:
        s = stage_counts.c
        at = (s.resource_id == r.id, s.stage == where.stage.value, s.versions > 0)
        found.append(select(s.stage).where(*at).correlate(resources).exists())
    if where.alias is not None:
        held = (aliases.c.resource_id == r.id, aliases.c.alias == where.alias, aliases.c.version.is_not(None))
        found.append(select(aliases.c.alias).where(*held).correlate(resources).exists())
    return [*found, *of_resource(where.lineage), *_conditions_on_shown(where)]


def _conditions_on_shown(where: ResourceFilter) -> list[Condition]:
    v = versions.c
    equal = {v.flavour: where.flavour, v.task: where.task, v.framework: where.framework, v.license: where.license}
    equal |= {v.scan_verdict: where.scan_verdict}
    found: list[Condition] = [column == value for column, value in equal.items() if value is not None]
    if where.source is not None:
        trained = and_(v.source_kind.is_(None), v.version.is_not(None))
        found.append(trained if where.source == TRAINED else v.source_kind == where.source)
    if (metric := where.metric) is not None:
        value = v.metrics[metric.name].as_float()
        found.append(value >= metric.value if metric.at_least else value <= metric.value)
    return found


def _in_a_card(text: str) -> Condition:
    """Condition: a revision of the prose of a version holds the text."""
    own = card_revisions.c.resource_id == resources.c.id
    return select(own).where(own, matches(card_revisions.c.prose, text)).correlate(resources).exists()


def _order(sort: ResourceSort) -> tuple[ColumnElement[Any], ...]:
    r = resources.c
    if sort is ResourceSort.NEWEST:
        return r.created_at.desc(), r.id.desc()
    if sort is ResourceSort.VERSIONS:
        return r.last_version.desc(), r.id.desc()
    return r.workspace.asc(), r.name.asc()


def after_name(last: ResourceKey) -> Condition:
    """Condition of the resources after one in the order of names."""
    r = resources.c
    return or_(r.workspace > last.workspace, and_(r.workspace == last.workspace, r.name > last.name))


def _after(kind: str, sort: ResourceSort, last: ResourceKey) -> Condition:
    """Condition of the resources after one, whose figures are looked up."""
    r = resources.c
    if sort is ResourceSort.NAME:
        return after_name(last)
    figure = r.created_at if sort is ResourceSort.NEWEST else r.last_version
    ids, known = resources.alias(), resources.alias()
    at = [(t.c.kind == kind, t.c.workspace == last.workspace, t.c.name == last.name) for t in (ids, known)]
    id_ = select(ids.c.id).where(*at[0]).scalar_subquery()
    value = select(known.c[figure.name]).where(*at[1]).scalar_subquery()
    return or_(figure < value, and_(figure == value, r.id < id_))


def _readable(readable: Mapping[str, Collection[str] | None]) -> Condition:
    """Condition on the kind and the workspace of a resource. readable: by kind; None for all workspaces."""
    r = resources.c
    kinds = [
        and_(r.kind == kind, true() if names is None else r.workspace.in_(sorted(names)))
        for kind, names in sorted(readable.items())
    ]
    return or_(false(), *kinds)


def _staged() -> Select[Any]:
    r, v = resources.c, versions.c
    columns = (v.resource_id, v.version, v.digest, v.stage, v.semver, v.flavour, v.task, v.run_id, v.metrics)
    origin = (v.created_at, v.created_by, v.correlation_id)
    joined = versions.join(resources, r.id == v.resource_id)
    return select(*columns, *origin, r.workspace, r.kind, r.name).select_from(joined)


def _staged_version(row: Row[Any]) -> StagedVersion:
    key = ResourceKey(row.workspace, row.kind, row.name)
    return StagedVersion(
        key=key, **{**fields(row, "workspace", "kind", "name", "file_path"), "stage": VersionStage(row.stage)}
    )
