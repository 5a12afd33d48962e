"""Versions, their files and their signatures in SQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, insert, select, update

from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import FileEntry
from modelyard_registry.domain.errors import VersionNotFound
from modelyard_registry.domain.values import Resource, ResourceKey, Version, VersionFilter
from modelyard_registry.store.lineage import forms_of_run, of_version
from modelyard_registry.store.rows import fields, insert_once
from modelyard_registry.store.tables import resources, signatures, version_files
from modelyard_registry.store.tables import versions as t


class SqlVersions:
    """One connection's view; writes belong inside a transaction, under the lock of the resource."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def next_number(self, resource: Resource) -> int:
        query = (
            update(resources)
            .where(resources.c.id == resource.id)
            .values(last_version=resources.c.last_version + 1)
            .returning(resources.c.last_version)
        )
        return int(self._db.execute(query).scalar_one())

    def add(self, resource: Resource, version: Version, files: Sequence[FileEntry]) -> None:
        self._db.execute(insert(t).values(resource_id=resource.id, **asdict(version)))
        if files:
            at = {"resource_id": resource.id, "version": version.version}
            rows = [{**at, "position": n, **file.model_dump()} for n, file in enumerate(files)]
            self._db.execute(insert(version_files), rows)

    def files(self, resource: Resource, version: int) -> Sequence[FileEntry]:
        f = version_files.c
        query = select(f.path, f.digest, f.size_bytes).where(f.resource_id == resource.id, f.version == version)
        return [FileEntry(**fields(row)) for row in self._db.execute(query.order_by(f.position))]

    def referenced(self, digests: Collection[str]) -> frozenset[str]:
        query = select(version_files.c.digest).where(version_files.c.digest.in_(digests)).distinct()
        return frozenset(self._db.execute(query).scalars())

    def digests(self, after: str, limit: int) -> Sequence[str]:
        d = version_files.c.digest
        return list(self._db.execute(select(d).where(d > after).distinct().order_by(d).limit(limit)).scalars())

    def with_file(self, kind: str, digest: str) -> Sequence[tuple[ResourceKey, int]]:
        query = (
            select(resources.c.workspace, resources.c.kind, resources.c.name, t.c.version)
            .join(t, t.c.resource_id == resources.c.id)
            .join(version_files, _file_of_version())
            .where(version_files.c.digest == digest, resources.c.kind == kind)
            .order_by(t.c.created_at, t.c.resource_id, t.c.version)
        )
        return [(ResourceKey(row[0], row[1], row[2]), row[3]) for row in self._db.execute(query)]

    def of_run(self, run_id: str) -> Sequence[tuple[ResourceKey, Version]]:
        query = (
            select(t, resources.c.workspace, resources.c.kind, resources.c.name)
            .join(resources, resources.c.id == t.c.resource_id)
            .where(t.c.run_id.in_(forms_of_run(run_id)))
            .order_by(t.c.created_at, t.c.resource_id, t.c.version)
        )
        return [(ResourceKey(row.workspace, row.kind, row.name), version_of(row)) for row in self._db.execute(query)]

    def get(self, resource: Resource, version: int) -> Version:
        found = self._one(_of(resource).where(t.c.version == version))
        if found is None:
            raise VersionNotFound(resource.key, version)
        return found

    def by_idempotency_key(self, resource: Resource, idempotency_key: str) -> Version | None:
        return self._one(_of(resource).where(t.c.idempotency_key == idempotency_key))

    def by_digest(self, resource: Resource, digest: str) -> Version | None:
        return self._one(_of(resource).where(t.c.digest == digest))

    def page(self, resource: Resource, after: int, limit: int, where: VersionFilter) -> Sequence[Version]:
        query = _filtered(_of(resource).where(t.c.version > after), where)
        return [version_of(row) for row in self._db.execute(query.order_by(t.c.version).limit(limit))]

    def set_stage(self, resource: Resource, version: int, stage: VersionStage, event_id: UUID) -> None:
        self._update(resource, version, stage=stage.value, last_event_id=event_id)

    def set_labels(self, resource: Resource, version: int, semver: str | None, tags: Mapping[str, str]) -> None:
        self._update(resource, version, semver=semver, tags=dict(tags), labels_revision=t.c.labels_revision + 1)

    def _update(self, resource: Resource, version: int, **values: Any) -> None:
        at = (t.c.resource_id == resource.id, t.c.version == version)
        self._db.execute(update(t).where(*at).values(**values))

    def _one(self, query: Select[Any]) -> Version | None:
        row = self._db.execute(query).one_or_none()
        return version_of(row) if row else None


class SqlSignatures:
    """Feature schema ids of a workspace."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def claim(self, workspace: str, schema_id: str, signature_digest: str) -> str:
        row = {"workspace": workspace, "feature_schema_id": schema_id, "digest": signature_digest}
        if insert_once(self._db, signatures, row):
            return signature_digest
        at = (signatures.c.workspace == workspace, signatures.c.feature_schema_id == schema_id)
        return str(self._db.execute(select(signatures.c.digest).where(*at)).scalar_one())


def _of(resource: Resource) -> Select[Any]:
    return select(t).where(t.c.resource_id == resource.id)


def _filtered(query: Select[Any], where: VersionFilter) -> Select[Any]:
    if where.stage is not None:
        query = query.where(t.c.stage == where.stage.value)
    if where.task is not None:
        query = query.where(t.c.task == where.task)
    if where.semver is not None:
        query = query.where(t.c.semver == where.semver)
    if where.tag is not None:
        name, value = where.tag
        query = query.where(t.c.tags[name].as_string() == value)
    return query.where(*of_version(where.lineage))


def _file_of_version() -> Any:
    return (version_files.c.resource_id == t.c.resource_id) & (version_files.c.version == t.c.version)


def version_of(row: Row[Any]) -> Version:
    """A version from its row, which may have further columns."""
    found = {name: value for name, value in fields(row).items() if name in Version.__dataclass_fields__}
    return Version(**{**found, "stage": VersionStage(row.stage)})
