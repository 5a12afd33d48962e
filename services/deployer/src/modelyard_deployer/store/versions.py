"""Versions in SQL."""

from typing import Final

from sqlalchemy import insert, select, update

from modelyard_deployer.domain.routes import Version
from modelyard_deployer.store.documents import Documents
from modelyard_deployer.store.tables import VERSIONS
from modelyard_runtime.database import Transaction

_VERSIONS: Final = Documents(Version)


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
