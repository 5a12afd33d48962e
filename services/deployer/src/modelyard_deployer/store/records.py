"""Transactions over all records."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import select

from modelyard_contracts import Message
from modelyard_contracts.codec import Codec
from modelyard_deployer.domain.ports import Records
from modelyard_deployer.store.comparisons import SqlComparisons
from modelyard_deployer.store.rollouts import SqlRollouts
from modelyard_deployer.store.routes import SqlAcknowledgements, SqlRoutes
from modelyard_deployer.store.serving import SqlServing
from modelyard_deployer.store.tables import OPEN, ROLLOUTS, ROUTE_MODELS
from modelyard_deployer.store.versions import SqlVersions
from modelyard_deployer.store.votes import SqlVotes
from modelyard_runtime.database import Database, Transaction

CONSUMER: Final = "deployer"


class SqlRecords:
    """All records within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.rollouts, self.routes = SqlRollouts(tx), SqlRoutes(tx)
        self.acknowledgements, self.serving, self.versions = SqlAcknowledgements(tx), SqlServing(tx), SqlVersions(tx)
        self.comparisons, self.votes = SqlComparisons(tx), SqlVotes(tx)

    def models(self) -> list[str]:
        started = select(ROLLOUTS.c.model).where(OPEN)
        found = select(ROUTE_MODELS.c.model).union(started)
        return sorted(self._tx.connection.execute(found).scalars())

    def claim(self, event: Message) -> bool:
        return self._tx.inbox.claim(CONSUMER, event.event_id)


class SqlStore:
    """Opens transactions on the service's database."""

    def __init__(self, database: Database) -> None:
        self._database, self._codec = database, Codec()

    @contextmanager
    def write(self) -> Iterator[Records]:
        with self._database.transaction() as tx:
            yield SqlRecords(tx)

    @contextmanager
    def read(self) -> Iterator[Records]:
        with self._database.read() as connection:
            yield SqlRecords(Transaction(connection, self._database.clock, self._codec))
