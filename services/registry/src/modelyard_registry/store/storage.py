"""Transactions over the tables, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import TimeoutError as PoolTimeout

from modelyard_contracts import Message
from modelyard_registry.domain.values import ResourceKey
from modelyard_registry.store.aliases import SqlAliases
from modelyard_registry.store.cards import SqlCards
from modelyard_registry.store.catalogue import SqlCatalogue
from modelyard_registry.store.connections import SqlConnections
from modelyard_registry.store.experiments import SqlExperiments
from modelyard_registry.store.history import SqlHistory, SqlPolicies, SqlRollouts
from modelyard_registry.store.keys import SqlKeys
from modelyard_registry.store.lineage import SqlLineage
from modelyard_registry.store.logged_models import SqlLoggedModels
from modelyard_registry.store.model_search import SqlModelSearch
from modelyard_registry.store.resemblance import SqlResemblances
from modelyard_registry.store.resources import SqlResources
from modelyard_registry.store.run_artifacts import SqlRunArtifacts
from modelyard_registry.store.runs import SqlRuns
from modelyard_registry.store.scans import SqlScans
from modelyard_registry.store.schemas import SqlSchemas, SqlSubjects
from modelyard_registry.store.search import SqlSearch
from modelyard_registry.store.tensors import SqlTensors
from modelyard_registry.store.versions import SqlSignatures, SqlVersions
from modelyard_runtime.database import Database, Transaction
from modelyard_runtime.errors import Unavailable

CONSUMER: Final = "registry"


class SqlRecords:
    """All tables on one connection."""

    def __init__(self, connection: Connection) -> None:
        self.resources = SqlResources(connection)
        self.versions = SqlVersions(connection)
        self.scans = SqlScans(connection)
        self.tensors = SqlTensors(connection)
        self.resemblances = SqlResemblances(connection)
        self.cards = SqlCards(connection)
        self.catalogue = SqlCatalogue(connection)
        self.search = SqlSearch(connection)
        self.model_search = SqlModelSearch(connection)
        self.signatures = SqlSignatures(connection)
        self.aliases = SqlAliases(connection)
        self.policies = SqlPolicies(connection)
        self.history = SqlHistory(connection)
        self.lineage = SqlLineage(connection)
        self.connections = SqlConnections(connection)
        self.rollouts = SqlRollouts(connection)
        self.keys = SqlKeys(connection)
        self.schemas = SqlSchemas(connection)
        self.subjects = SqlSubjects(connection)
        self.experiments = SqlExperiments(connection)
        self.runs = SqlRuns(connection)
        self.logged_models = SqlLoggedModels(connection)
        self.run_artifacts = SqlRunArtifacts(connection)


class SqlUnit(SqlRecords):
    """One transaction of the registry."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction.connection)
        self._transaction = transaction

    def claim(self, event_id: UUID) -> bool:
        """True exactly once per event."""
        return self._transaction.inbox.claim(CONSUMER, event_id)

    def queue(self, event: Message, key: str) -> None:
        """Send the event once the transaction is committed."""
        self._transaction.outbox.add(event, key=key)

    def record_change(self, key: ResourceKey) -> None:
        """Add the resource to the log that followers of `/v1/changes` read."""
        self._transaction.changes.add(key.kind, key.reference, model=key.reference)


class TooBusy(Unavailable):
    """Every connection to the database is in use; nothing of the transaction was done."""

    code = "database_away"


@contextmanager
def _retryable() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise TooBusy("every connection to the database is in use; try again") from error


class SqlStorage:
    """Transactions over a Database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def transaction(self) -> Iterator[SqlUnit]:
        with _retryable(), self._database.transaction() as transaction:
            yield SqlUnit(transaction)

    @contextmanager
    def read(self) -> Iterator[SqlRecords]:
        with _retryable(), self._database.read() as connection:
            yield SqlRecords(connection)
