"""Versions in SQL: the manifest's bytes as they were registered."""

from functools import lru_cache

from sqlalchemy import ColumnElement, insert, select, update

from modelyard_contracts.manifest import ManifestFile
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.store.tables import VERSIONS
from modelyard_runtime.database import Transaction


class SqlVersions:
    def __init__(self, tx: Transaction) -> None:
        self._db = tx.connection

    def get(self, key: VersionKey) -> Version | None:
        row = self._db.execute(select(VERSIONS).where(*_is(key))).one_or_none()
        return None if row is None else Version(row.model, row.version, row.stage, _manifest(row.manifest))

    def digests(self) -> dict[VersionKey, str]:
        rows = self._db.execute(select(VERSIONS.c.model, VERSIONS.c.version, VERSIONS.c.digest))
        return {VersionKey(row.model, row.version): row.digest for row in rows}

    def save(self, version: Version) -> None:
        values = {"digest": version.digest, "stage": version.stage, "manifest": version.file.data}
        if self._db.execute(update(VERSIONS).where(*_is(version.key)).values(**values)).rowcount == 0:
            self._db.execute(insert(VERSIONS).values(model=version.model, version=version.version, **values))

    def set_stage(self, key: VersionKey, stage: str) -> None:
        self._db.execute(update(VERSIONS).where(*_is(key)).values(stage=stage))


@lru_cache(maxsize=256)
def _manifest(data: bytes) -> ManifestFile:
    """Parse a manifest, cached because the bytes of a version never change."""
    return ManifestFile.read(data)


def _is(key: VersionKey) -> tuple[ColumnElement[bool], ...]:
    return (VERSIONS.c.model == key.model, VERSIONS.c.version == key.version)
