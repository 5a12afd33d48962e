"""Runs in SQL: a change of a run and its event commit together."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from modelyard_contracts import RunState
from modelyard_runtime.database import Database, Transaction
from modelyard_runtime.errors import Retryable
from modelyard_runtime.tables import is_one_of
from modelyard_trainer.domain.errors import OpenRun, UnknownRun
from modelyard_trainer.domain.policy import Facts
from modelyard_trainer.domain.ports import Session
from modelyard_trainer.domain.run import Run
from modelyard_trainer.store.tables import OPEN, runs

CONSUMER: Final = "trainer"
LIST_ROWS: Final = 100
"""Rows fetched at a time for a list."""


class StaleRun(Retryable):
    """Another writer changed the run after it was read; read again, then retry."""

    code = "stale_run"


class RunSession:
    """Runs within one transaction; see domain.ports.Session."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction
        self._db = transaction.connection

    def claim(self, event_id: UUID) -> bool:
        return self._tx.inbox.claim(CONSUMER, event_id)

    def get(self, run_id: UUID) -> Run | None:
        found = self._db.execute(select(runs.c.document).where(runs.c.id == run_id)).scalar_one_or_none()
        return None if found is None else Run.model_validate(found)

    def add(self, run: Run, at: datetime) -> None:
        if not run.state.final and (other := self._open_of(run.model)) is not None:
            raise OpenRun(run.model, other)
        try:
            self._db.execute(insert(runs).values(_row(run)))
        except IntegrityError as error:  # another process inserted between the query and the insert
            raise StaleRun(f"another run of model {run.model} was created at the same moment") from error
        self._publish(run, at)

    def save(self, run: Run, at: datetime) -> None:
        changed = self._db.execute(
            update(runs).where(runs.c.id == run.id, runs.c.revision == run.revision - 1).values(_row(run))
        )
        if changed.rowcount != 1:
            raise StaleRun(f"run {run.id} has moved past revision {run.revision - 1}")
        self._publish(run, at)

    def _publish(self, run: Run, at: datetime) -> None:
        self._tx.outbox.add(run.event(at), key=run.model)
        self._tx.changes.add("run", run.id, model=run.model)

    def facts(self, model: str, now: datetime, window: timedelta) -> Facts:
        counted = (runs.c.model == model) & (runs.c.state != RunState.REFUSED.value)
        ended, begun = self._db.execute(
            select(
                func.max(runs.c.ended_at).label("ended"),
                func.count().filter(runs.c.created_at > now - window).label("begun"),
            ).where(counted)
        ).one()
        open_run = self._open_of(model)
        return Facts(None if open_run is None else str(open_run), ended, begun)

    def last_refusal(self, model: str, code: str) -> datetime | None:
        query = select(func.max(runs.c.created_at)).where(runs.c.model == model, runs.c.refusal == code)
        return self._db.execute(query).scalar_one_or_none()

    def _open_of(self, model: str) -> UUID | None:
        query = select(runs.c.id).where(runs.c.model == model, OPEN)
        return self._db.execute(query).scalar_one_or_none()


class RunStore:
    """The trainer's database; see domain.ports.Runs. Blocks: call it off the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def session(self) -> AbstractContextManager[Session]:
        """Open a transaction; it commits when the block ends without an error."""
        return self._session()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._database.transaction() as transaction:
            yield RunSession(transaction)

    def get(self, run_id: UUID) -> Run:
        found = self._read(select(runs.c.document).where(runs.c.id == run_id))
        if not found:
            raise UnknownRun(run_id)
        return found[0]

    def list(
        self,
        model: str | None,
        limit: int,
        readable: Callable[[str], bool] = lambda reference: True,
        *,
        states: Collection[RunState] = (),
        versions: Collection[tuple[str, int]] = (),
        after: UUID | None = None,
    ) -> Sequence[Run]:
        """At most `limit` runs of models that are `readable`, newest first; those older than the run `after`."""
        query = select(runs.c.model, runs.c.document).order_by(runs.c.created_at.desc(), runs.c.id)
        query = query if model is None else query.where(runs.c.model == model)
        query = query.where(runs.c.state.in_([state.value for state in states])) if states else query
        if versions:
            query = query.where(is_one_of(versions, runs.c.model, runs.c.document["version"].as_integer()))
        query = query if after is None else query.where(_older(self.get(after)))
        with self._database.read() as connection:
            rows = connection.execute(query.execution_options(yield_per=LIST_ROWS))
            found = (document for reference, document in rows if readable(reference))
            return [Run.model_validate(document) for document in islice(found, limit)]

    def open_runs(self) -> Sequence[Run]:
        """Oldest first."""
        return self._read(select(runs.c.document).where(OPEN).order_by(runs.c.created_at))

    def newest(self, model: str) -> Run | None:
        """The newest run that was not refused."""
        kept = (runs.c.model == model) & (runs.c.state != RunState.REFUSED.value)
        query = select(runs.c.document).where(kept).order_by(runs.c.created_at.desc(), runs.c.id).limit(1)
        return next(iter(self._read(query)), None)

    def _read(self, query: "Select[tuple[Any]]") -> Sequence[Run]:
        with self._database.read() as connection:
            return [Run.model_validate(document) for document in connection.execute(query).scalars()]


def _older(last: Run) -> ColumnElement[bool]:
    same_moment = and_(runs.c.created_at == last.created_at, runs.c.id > last.id)
    return or_(runs.c.created_at < last.created_at, same_moment)


def _row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "model": run.model,
        "state": run.state.value,
        "revision": run.revision,
        "refusal": run.refusal,
        "created_at": run.created_at,
        "ended_at": run.ended_at,
        "document": run.model_dump(mode="json"),
    }
