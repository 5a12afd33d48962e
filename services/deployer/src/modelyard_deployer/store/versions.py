"""Versions and replicas in SQL."""

from typing import Final
from uuid import UUID

from sqlalchemy import delete, insert, select, update

from modelyard_deployer.domain.replicas import Replica
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.store.documents import Documents
from modelyard_deployer.store.tables import REPLICAS, VERSIONS
from modelyard_runtime.database import Transaction

_VERSIONS: Final = Documents(Version)
_REPLICAS: Final = Documents(Replica)


class SqlVersions:
    def __init__(self, tx: Transaction) -> None:
        self._db = tx.connection

    def of_model(self, model: str) -> dict[int, Version]:
        documents = self._db.execute(select(VERSIONS.c.document).where(VERSIONS.c.model == model)).scalars()
        return {version.version: version for version in map(_VERSIONS.read, documents)}

    def all(self) -> list[Version]:
        return [_VERSIONS.read(document) for document in self._db.execute(select(VERSIONS.c.document)).scalars()]

    def save(self, version: Version) -> None:
        key = (VERSIONS.c.model == version.model, VERSIONS.c.version == version.version)
        values = {"document": _VERSIONS.write(version)}
        if self._db.execute(update(VERSIONS).where(*key).values(**values)).rowcount == 0:
            self._db.execute(insert(VERSIONS).values(model=version.model, version=version.version, **values))


class SqlReplicas:
    def __init__(self, tx: Transaction) -> None:
        self._db = tx.connection

    def all(self, model: str | None = None) -> list[Replica]:
        query = select(REPLICAS.c.document).order_by(REPLICAS.c.model, REPLICAS.c.version, REPLICAS.c.id)
        if model is not None:
            query = query.where(REPLICAS.c.model == model)
        return [_REPLICAS.read(document) for document in self._db.execute(query).scalars()]

    def save(self, replica: Replica) -> None:
        values = {"document": _REPLICAS.write(replica)}
        if self._db.execute(update(REPLICAS).where(REPLICAS.c.id == replica.id).values(**values)).rowcount == 0:
            row = {"id": replica.id, "model": replica.model, "version": replica.version}
            self._db.execute(insert(REPLICAS).values(**row, **values))

    def delete(self, replica_id: UUID) -> None:
        self._db.execute(delete(REPLICAS).where(REPLICAS.c.id == replica_id))
