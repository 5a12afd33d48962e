"""Prose and released cards of versions in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from modelyard_contracts.card import CardProse, CardRelease, CardRevision
from modelyard_registry.domain.values import Resource
from modelyard_registry.store.tables import card_releases, versions
from modelyard_registry.store.tables import card_revisions as t


class SqlCards:
    """One connection's view; writes belong inside a transaction, under the lock of the resource."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def newest(self, resource: Resource, version: int) -> CardRevision | None:
        row = self._db.execute(_of(resource, version).limit(1)).one_or_none()
        return _revision(row) if row else None

    def revisions(self, resource: Resource, version: int, limit: int) -> Sequence[CardRevision]:
        return [_revision(row) for row in self._db.execute(_of(resource, version).limit(limit))]

    def add(self, resource: Resource, version: int, made: CardRevision) -> None:
        row = {"prose": made.prose.model_dump(), **made.model_dump(exclude={"prose"})}
        self._db.execute(insert(t).values(resource_id=resource.id, version=version, **row))

    def release(self, resource: Resource, version: int) -> CardRelease | None:
        c = card_releases.c
        query = select(c.digest, c.revision, c.released_at).where(c.resource_id == resource.id, c.version == version)
        row = self._db.execute(query).one_or_none()
        if row is None:
            return None
        return CardRelease(digest=row.digest, prose_revision=row.revision, released_at=row.released_at)

    def released(self, resource: Resource, version: int) -> bytes | None:
        c = card_releases.c
        query = select(c.card).where(c.resource_id == resource.id, c.version == version)
        found: bytes | None = self._db.execute(query).scalar_one_or_none()
        return found

    def freeze(self, resource: Resource, version: int, revision: int, card: bytes, digest: str, at: datetime) -> None:
        row = {"revision": revision, "card": card, "digest": digest, "released_at": at}
        self._db.execute(insert(card_releases).values(resource_id=resource.id, version=version, **row))
        own = (versions.c.resource_id == resource.id, versions.c.version == version)
        self._db.execute(update(versions).where(*own).values(card_digest=digest))


def _of(resource: Resource, version: int) -> Select[Any]:
    query = select(t).where(t.c.resource_id == resource.id, t.c.version == version)
    return query.order_by(t.c.revision.desc())


def _revision(row: Row[Any]) -> CardRevision:
    return CardRevision(
        revision=row.revision,
        prose=CardProse.model_validate(row.prose, extra="ignore"),
        actor=row.actor,
        reason=row.reason,
        written_at=row.written_at,
    )
