"""Avro schemas and their subjects in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from modelyard_registry.domain.avro import AvroSchema
from modelyard_registry.domain.values import SubjectVersion
from modelyard_registry.store.tables import avro_levels, avro_next_id, avro_schemas, avro_subjects


class SqlSchemas:
    """One connection's view; writes belong inside a transaction, after `lock`."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def lock(self) -> None:
        self._db.execute(select(avro_next_id).with_for_update()).one()

    def next_id(self) -> int:
        query = update(avro_next_id).values(next_id=avro_next_id.c.next_id + 1).returning(avro_next_id.c.next_id)
        return int(self._db.execute(query).scalar_one()) - 1

    def add(self, schema_id: int, schema: AvroSchema, at: datetime) -> None:
        row = {"identity": schema.identity, "fingerprint": schema.fingerprint, "text": schema.text, "created_at": at}
        self._db.execute(insert(avro_schemas).values(id=schema_id, **row))

    def text(self, schema_id: int) -> str | None:
        return self._db.execute(select(avro_schemas.c.text).where(avro_schemas.c.id == schema_id)).scalar_one_or_none()

    def id_of(self, identity: str) -> int | None:
        query = select(avro_schemas.c.id).where(avro_schemas.c.identity == identity).order_by(avro_schemas.c.id)
        return self._db.execute(query.limit(1)).scalar_one_or_none()

    def by_fingerprint(self, hexadecimal: str) -> tuple[int, str] | None:
        query = select(avro_schemas.c.id, avro_schemas.c.text).where(avro_schemas.c.fingerprint == hexadecimal)
        row = self._db.execute(query.order_by(avro_schemas.c.id).limit(1)).one_or_none()
        return (row.id, row.text) if row else None


class SqlSubjects:
    """One connection's view; writes belong inside a transaction, after `lock` of the schemas."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def names(self, *, deleted: bool) -> Sequence[str]:
        query = select(avro_subjects.c.subject).distinct().order_by(avro_subjects.c.subject)
        return list(self._db.execute(query if deleted else query.where(~avro_subjects.c.deleted)).scalars())

    def versions(self, subject: str, *, deleted: bool) -> Sequence[SubjectVersion]:
        return self._versions(avro_subjects.c.subject == subject, deleted)

    def uses(self, schema_id: int, *, deleted: bool) -> Sequence[SubjectVersion]:
        return self._versions(avro_subjects.c.schema_id == schema_id, deleted)

    def _versions(self, where: Any, deleted: bool) -> Sequence[SubjectVersion]:
        query = select(avro_subjects).where(where).order_by(avro_subjects.c.subject, avro_subjects.c.version)
        found = self._db.execute(query if deleted else query.where(~avro_subjects.c.deleted))
        return [_subject_version(row) for row in found]

    def add_version(self, version: SubjectVersion) -> None:
        self._db.execute(
            insert(avro_subjects).values(
                subject=version.subject, version=version.version, schema_id=version.schema_id, deleted=version.deleted
            )
        )

    def mark_deleted(self, subject: str, version: int) -> None:
        self._db.execute(update(avro_subjects).where(*_at(subject, version)).values(deleted=True))

    def remove(self, subject: str, version: int) -> None:
        self._db.execute(delete(avro_subjects).where(*_at(subject, version)))

    def level(self, subject: str) -> str | None:
        return self._db.execute(
            select(avro_levels.c.level).where(avro_levels.c.subject == subject)
        ).scalar_one_or_none()

    def set_level(self, subject: str, level: str | None) -> None:
        self._db.execute(delete(avro_levels).where(avro_levels.c.subject == subject))
        if level is not None:
            self._db.execute(insert(avro_levels).values(subject=subject, level=level))


def _at(subject: str, version: int) -> tuple[Any, Any]:
    return avro_subjects.c.subject == subject, avro_subjects.c.version == version


def _subject_version(row: Row[Any]) -> SubjectVersion:
    return SubjectVersion(row.subject, row.version, row.schema_id, row.deleted)
