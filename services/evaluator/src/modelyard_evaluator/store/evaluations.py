"""The table of evaluations. All statements run in the caller's transaction."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import JSON, Column, Connection, Integer, MetaData, Table, Text, Uuid, insert, select, update

from modelyard_contracts import Message
from modelyard_evaluator.domain.errors import StaleEvaluation
from modelyard_evaluator.domain.evaluation import Evaluation, Stage
from modelyard_evaluator.domain.ports import Evaluations, UnitOfWork
from modelyard_runtime.changes import Changes
from modelyard_runtime.database import Database, Transaction
from modelyard_runtime.tables import UtcDateTime, is_one_of, literally_in

CONSUMER: Final = "evaluator"
"""Name under which events are claimed in the inbox."""
EVALUATIONS: Final = Table(
    "evaluations",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("model", Text),
    Column("stage", Text),
    Column("created_at", UtcDateTime),
    Column("next_at", UtcDateTime),
    Column("writes", Integer),
    Column("document", JSON),
)
_DOCUMENT: Final = TypeAdapter(Evaluation)
OPEN: Final = literally_in("stage", (stage for stage in Stage if stage is not Stage.FINISHED))
"""Open evaluations, as in their index: a new open stage needs a migration of it."""


class SqlEvaluations:
    """Implements domain.ports.Evaluations; writes need `changes`, where followers of the API read them."""

    def __init__(self, connection: Connection, changes: Changes | None = None) -> None:
        self._connection, self._changes = connection, changes

    def add(self, new: Evaluation) -> Evaluation:
        stored = self.get(new.id)
        if stored is not None:
            return stored
        row = {"id": new.id, "model": new.model, "created_at": new.created_at, **_columns(new)}
        self._connection.execute(insert(EVALUATIONS).values(row))
        self._log_change(new)
        return new

    def save(self, before: Evaluation, after: Evaluation) -> Evaluation:
        after = replace(after, writes=before.writes + 1)
        unchanged = (EVALUATIONS.c.id == before.id, EVALUATIONS.c.writes == before.writes)
        if self._connection.execute(update(EVALUATIONS).where(*unchanged).values(**_columns(after))).rowcount != 1:
            raise StaleEvaluation(f"evaluation {before.id} was changed since it was read")
        self._log_change(after)
        return after

    def get(self, evaluation_id: UUID) -> Evaluation | None:
        query = select(EVALUATIONS.c.document).where(EVALUATIONS.c.id == evaluation_id)
        document = self._connection.execute(query).scalar_one_or_none()
        return None if document is None else _DOCUMENT.validate_python(document)

    def newest(
        self, model: str | None, limit: int, offset: int = 0, *, versions: Collection[tuple[str, int]] = ()
    ) -> Sequence[Evaluation]:
        newest_first = (EVALUATIONS.c.created_at.desc(), EVALUATIONS.c.id)
        query = select(EVALUATIONS.c.document).order_by(*newest_first).limit(limit).offset(offset)
        if versions:
            challenger = EVALUATIONS.c.document["challenger_version"].as_integer()
            query = query.where(is_one_of(versions, EVALUATIONS.c.model, challenger))
        return self._all(query if model is None else query.where(EVALUATIONS.c.model == model))

    def due(self, now: datetime) -> Sequence[Evaluation]:
        is_due = (OPEN, EVALUATIONS.c.next_at <= now)
        return self._all(select(EVALUATIONS.c.document).where(*is_due).order_by(EVALUATIONS.c.next_at))

    def unfinished(self, model: str) -> Sequence[Evaluation]:
        of_model = (OPEN, EVALUATIONS.c.model == model)
        return self._all(select(EVALUATIONS.c.document).where(*of_model))

    def open_ids(self) -> set[UUID]:
        query = select(EVALUATIONS.c.id).where(OPEN)
        return set(self._connection.execute(query).scalars())

    def _log_change(self, evaluation: Evaluation) -> None:
        if self._changes is not None:
            self._changes.add("evaluation", evaluation.id, model=evaluation.model)

    def _all(self, query: Any) -> Sequence[Evaluation]:
        return [_DOCUMENT.validate_python(document) for document in self._connection.execute(query).scalars()]


class SqlUnitOfWork:
    """Implements domain.ports.UnitOfWork."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.evaluations: Evaluations = SqlEvaluations(transaction.connection, transaction.changes)

    def claim(self, event_id: UUID) -> bool:
        return self._transaction.inbox.claim(CONSUMER, event_id)

    def publish(self, event: Message, key: str) -> None:
        self._transaction.outbox.add(event, key=key)


class SqlStorage:
    """Implements domain.ports.Storage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        with self._database.transaction() as transaction:
            yield SqlUnitOfWork(transaction)

    @contextmanager
    def read(self) -> Iterator[Evaluations]:
        with self._database.read() as connection:
            yield SqlEvaluations(connection)


def _columns(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "stage": evaluation.stage,
        "next_at": evaluation.next_at or evaluation.created_at,
        "writes": evaluation.writes,
        "document": _DOCUMENT.dump_python(evaluation, mode="json"),
    }
