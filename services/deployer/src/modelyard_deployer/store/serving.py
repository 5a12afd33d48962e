"""Serving state of each model in SQL."""

from dataclasses import replace
from typing import Final

from sqlalchemy import insert, select, update

from modelyard_deployer.domain.errors import StaleRollout
from modelyard_deployer.domain.routes import Serving
from modelyard_deployer.store.documents import Documents
from modelyard_deployer.store.tables import SERVING
from modelyard_runtime.database import Transaction

_DOCUMENTS: Final = Documents(Serving)


class SqlServing:
    def __init__(self, tx: Transaction) -> None:
        self._db = tx.connection

    def get(self, model: str) -> Serving | None:
        document = self._db.execute(select(SERVING.c.document).where(SERVING.c.model == model)).scalar_one_or_none()
        return None if document is None else _DOCUMENTS.read(document)

    def all(self) -> list[Serving]:
        return [_DOCUMENTS.read(document) for document in self._db.execute(select(SERVING.c.document)).scalars()]

    def save(self, before: Serving | None, after: Serving) -> None:
        after = replace(after, writes=before.writes + 1 if before else 0)
        values = {"writes": after.writes, "document": _DOCUMENTS.write(after)}
        if before is None:
            self._db.execute(insert(SERVING).values(model=after.model, **values))
            return
        unchanged = (SERVING.c.model == before.model, SERVING.c.writes == before.writes)
        if self._db.execute(update(SERVING).where(*unchanged).values(**values)).rowcount != 1:
            raise StaleRollout(f"another writer changed the serving state of {before.model}")
