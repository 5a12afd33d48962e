"""Votes of adaptive models in SQL. Weights and cursor are one document, so that each label counts once."""

from dataclasses import replace
from typing import Final

from sqlalchemy import insert, select, update

from modelyard_deployer.domain.errors import StaleRollout
from modelyard_deployer.domain.votes import Vote
from modelyard_deployer.store.documents import Documents
from modelyard_deployer.store.tables import VOTES
from modelyard_runtime.database import Transaction

_DOCUMENTS: Final = Documents(Vote)


class SqlVotes:
    def __init__(self, tx: Transaction) -> None:
        self._db = tx.connection

    def get(self, model: str) -> Vote | None:
        document = self._db.execute(select(VOTES.c.document).where(VOTES.c.model == model)).scalar_one_or_none()
        return None if document is None else _DOCUMENTS.read(document)

    def all(self) -> list[Vote]:
        return [_DOCUMENTS.read(document) for document in self._db.execute(select(VOTES.c.document)).scalars()]

    def save(self, before: Vote | None, after: Vote) -> None:
        after = replace(after, writes=before.writes + 1 if before else 0)
        values = {"writes": after.writes, "document": _DOCUMENTS.write(after)}
        if before is None:
            self._db.execute(insert(VOTES).values(model=after.model, **values))
            return
        unchanged = (VOTES.c.model == before.model, VOTES.c.writes == before.writes)
        if self._db.execute(update(VOTES).where(*unchanged).values(**values)).rowcount != 1:
            raise StaleRollout(f"another writer changed the vote of {before.model}")
