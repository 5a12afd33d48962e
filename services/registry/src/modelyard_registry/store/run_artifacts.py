"""Artifacts of runs and logged models in SQL: paths and digests; the bytes are blobs."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, func, or_, select, true

from modelyard_registry.domain.tracking import Artifact
from modelyard_registry.store.conditions import Condition
from modelyard_registry.store.rows import upsert
from modelyard_registry.store.tracking_tables import run_artifacts as t


class SqlRunArtifacts:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put(self, owner: str, artifact: Artifact, at: datetime) -> None:
        row = {"owner": owner, **asdict(artifact), "stored_at": at}
        upsert(self._db, t, row, key=("owner", "path"))

    def get(self, owner: str, path: str) -> Artifact | None:
        found = self._found(t.c.owner == owner, t.c.path == path)
        return found[0] if found else None

    def under(self, owner: str, folder: str) -> Sequence[Artifact]:
        return self._found(t.c.owner == owner, _inside(folder))

    def remove(self, owner: str, path: str) -> int:
        gone = delete(t).where(t.c.owner == owner, or_(t.c.path == path, _inside(path)))
        return len(self._db.execute(gone.returning(t.c.path)).all())

    def referenced(self, digests: Collection[str]) -> frozenset[str]:
        query = select(t.c.digest).where(t.c.digest.in_(digests)).distinct()
        return frozenset(self._db.execute(query).scalars())

    def _found(self, *where: Condition) -> list[Artifact]:
        rows = self._db.execute(select(t.c.path, t.c.digest, t.c.size_bytes).where(*where).order_by(t.c.path))
        return [Artifact(row.path, row.digest, row.size_bytes) for row in rows]


def _inside(folder: str) -> Condition:
    """Files below a folder; '' is the root. Without LIKE, whose case and wildcards differ."""
    if not folder:
        return true()
    start = f"{folder}/"
    return func.substr(t.c.path, 1, len(start)) == start
