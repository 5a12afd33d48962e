"""The tables as the use cases see them, on SQLite and PostgreSQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from importlib import import_module
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, Select, and_, func, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from modelyard_contracts import Message, RolloutState, VersionStage
from modelyard_registry.domain.errors import DatasetNotFound, ModelNotFound, VersionNotFound
from modelyard_registry.domain.values import Alias, ApiKey, Dataset, Entry, Model, Policy, RolloutSeen, Version
from modelyard_registry.store import tables as t
from modelyard_registry.store.schemas import SqlSchemas
from modelyard_runtime.database import Database, Transaction
from modelyard_runtime.errors import Unavailable

CONSUMER: Final = "registry"


class SqlRecords:
    """One connection's view; the writes are for use inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    # models
    def add_model(self, model: Model) -> bool:
        return self._insert_once(t.models, {**asdict(model), "entries": 0})

    def model(self, name: str) -> Model:
        return self._model(name, select(t.models).where(t.models.c.name == name))

    def lock_model(self, name: str) -> Model:
        # SQLite has the whole database to itself in a writing transaction and leaves FOR UPDATE out.
        return self._model(name, select(t.models).where(t.models.c.name == name).with_for_update())

    def models(self, after: str, limit: int) -> Sequence[Model]:
        query = select(t.models).where(t.models.c.name > after).order_by(t.models.c.name).limit(limit)
        return [_model(row) for row in self._db.execute(query)]

    def _model(self, name: str, query: Select[Any]) -> Model:
        row = self._db.execute(query).one_or_none()
        if row is None:
            raise ModelNotFound(name)
        return _model(row)

    # versions
    def next_version(self, model: str) -> int:
        query = (
            update(t.models)
            .where(t.models.c.name == model)
            .values(last_version=t.models.c.last_version + 1)
            .returning(t.models.c.last_version)
        )
        return int(self._db.execute(query).scalar_one())

    def add_version(self, version: Version) -> None:
        self._db.execute(insert(t.versions).values(**asdict(version)))

    def version(self, model: str, version: int) -> Version:
        found = self._version(t.versions.c.model == model, t.versions.c.version == version)
        if found is None:
            self.model(model)
            raise VersionNotFound(model, version)
        return found

    def version_by_key(self, model: str, idempotency_key: str) -> Version | None:
        return self._version(t.versions.c.model == model, t.versions.c.idempotency_key == idempotency_key)

    def version_by_digest(self, model: str, digest: str) -> Version | None:
        return self._version(t.versions.c.model == model, t.versions.c.digest == digest)

    def _version(self, *where: Any) -> Version | None:
        row = self._db.execute(select(t.versions).where(*where)).one_or_none()
        return _version(row) if row else None

    def versions(self, model: str, after: int, limit: int, stage: VersionStage | None = None) -> Sequence[Version]:
        query = select(t.versions).where(t.versions.c.model == model, t.versions.c.version > after)
        if stage is not None:
            query = query.where(t.versions.c.stage == stage.value)
        return [_version(row) for row in self._db.execute(query.order_by(t.versions.c.version).limit(limit))]

    def versions_at(self, model: str, stage: VersionStage) -> Sequence[Version]:
        query = select(t.versions).where(t.versions.c.model == model, t.versions.c.stage == stage.value)
        return [_version(row) for row in self._db.execute(query.order_by(t.versions.c.version))]

    def move(self, model: str, version: int, stage: VersionStage, event_id: UUID) -> None:
        self._db.execute(
            update(t.versions)
            .where(t.versions.c.model == model, t.versions.c.version == version)
            .values(stage=stage.value, last_event_id=event_id)
        )

    # aliases
    def alias(self, model: str, alias: str) -> Alias | None:
        row = self._db.execute(_aliases().where(t.aliases.c.model == model, t.aliases.c.alias == alias)).one_or_none()
        return _alias(row) if row else None

    def aliases(self, model: str) -> Sequence[Alias]:
        query = _aliases().where(t.aliases.c.model == model, t.aliases.c.version.is_not(None))
        return [_alias(row) for row in self._db.execute(query.order_by(t.aliases.c.alias))]

    def aliases_of_all(self, models: Sequence[str]) -> dict[str, dict[str, int]]:
        query = select(t.aliases.c.model, t.aliases.c.alias, t.aliases.c.version).where(
            t.aliases.c.model.in_(models), t.aliases.c.version.is_not(None)
        )
        found: dict[str, dict[str, int]] = {name: {} for name in models}
        for model, alias, version in self._db.execute(query):
            found[model][alias] = version
        return found

    def save_alias(self, model: str, alias: Alias) -> None:
        row = {"model": model, **asdict(alias)}
        del row["digest"]
        self._upsert(t.aliases, row, key=("model", "alias"))

    # policies
    def policy(self, model: str, kind: str) -> Policy | None:
        query = (
            select(t.policies)
            .where(t.policies.c.model == model, t.policies.c.kind == kind)
            .order_by(t.policies.c.revision.desc())
            .limit(1)
        )
        row = self._db.execute(query).one_or_none()
        return Policy(row.kind, row.revision, row.document) if row else None

    def add_policy(self, model: str, policy: Policy, actor: str, at: datetime) -> None:
        self._db.execute(insert(t.policies).values(model=model, actor=actor, set_at=at, **asdict(policy)))

    # datasets
    def add_dataset(self, dataset: Dataset) -> bool:
        return self._insert_once(t.datasets, asdict(dataset))

    def dataset(self, digest: str) -> Dataset:
        row = self._db.execute(select(t.datasets).where(t.datasets.c.digest == digest)).one_or_none()
        if row is None:
            raise DatasetNotFound(digest)
        return Dataset(**_fields(row))

    # history
    def next_entry(self, model: str, *, told: bool) -> tuple[int, int | None]:
        query = (
            update(t.models)
            .where(t.models.c.name == model)
            .values(entries=t.models.c.entries + 1, revision=t.models.c.revision + int(told))
            .returning(t.models.c.entries, t.models.c.revision)
        )
        position, revision = self._db.execute(query).one()
        return int(position), int(revision) if told else None

    def append(self, entry: Entry) -> None:
        self._db.execute(insert(t.history).values(**asdict(entry)))

    def has_been(self, model: str, version: int, stage: VersionStage) -> bool:
        at = (t.history.c.model == model, t.history.c.version == version, t.history.c.stage == stage.value)
        return self._db.execute(select(t.history.c.position).where(*at).limit(1)).one_or_none() is not None

    def history(self, model: str, after: int, limit: int) -> Sequence[Entry]:
        query = (
            select(t.history)
            .where(t.history.c.model == model, t.history.c.position > after)
            .order_by(t.history.c.position)
            .limit(limit)
        )
        return [Entry(**_fields(row)) for row in self._db.execute(query)]

    # rollouts
    def rollout(self, rollout_id: UUID) -> RolloutSeen | None:
        row = self._db.execute(select(t.rollouts).where(t.rollouts.c.rollout_id == rollout_id)).one_or_none()
        return RolloutSeen(**_fields(row)) if row else None

    def save_rollout(self, seen: RolloutSeen) -> None:
        self._upsert(t.rollouts, asdict(seen), key=("rollout_id",))

    def last_settled(self, model: str, but: UUID) -> datetime | None:
        settled = (RolloutState.PROMOTED.value, RolloutState.ROLLED_BACK.value)
        query = select(func.max(t.rollouts.c.occurred_at, type_=t.rollouts.c.occurred_at.type)).where(
            t.rollouts.c.model == model, t.rollouts.c.rollout_id != but, t.rollouts.c.state.in_(settled)
        )
        found: datetime | None = self._db.execute(query).scalar_one()
        return found

    # keys
    def add_key(self, key: ApiKey) -> None:
        self._db.execute(insert(t.api_keys).values(**asdict(key)))

    def key(self, key_id: str) -> ApiKey | None:
        row = self._db.execute(select(t.api_keys).where(t.api_keys.c.id == key_id)).one_or_none()
        return _key(row) if row else None

    def all_keys(self) -> Sequence[ApiKey]:
        return [_key(row) for row in self._db.execute(select(t.api_keys).order_by(t.api_keys.c.created_at))]

    def revoke_key(self, key_id: str, at: datetime) -> None:
        self._db.execute(update(t.api_keys).where(t.api_keys.c.id == key_id).values(revoked_at=at))

    # inside
    def _insert_once(self, table: Any, row: Mapping[str, Any]) -> bool:
        # RETURNING, as PostgreSQL's driver does not tell how many rows an insert wrote.
        statement = _dialect(self._db).insert(table).values(**row).on_conflict_do_nothing()
        return self._db.execute(statement.returning(*table.primary_key)).first() is not None

    def _upsert(self, table: Any, row: Mapping[str, Any], key: Sequence[str]) -> None:
        changed = {name: value for name, value in row.items() if name not in key}
        statement = _dialect(self._db).insert(table).values(**row)
        self._db.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))


class SqlUnit:
    """One transaction of the registry."""

    def __init__(self, transaction: Transaction) -> None:
        self.records = SqlRecords(transaction.connection)
        self.schemas = SqlSchemas(transaction.connection)
        self._transaction = transaction

    def claim(self, event_id: UUID) -> bool:
        return self._transaction.inbox.claim(CONSUMER, event_id)

    def queue(self, event: Message, key: str) -> None:
        self._transaction.outbox.add(event, key=key)


class DatabaseAway(Unavailable):
    """The database refused for now: gone, restarting, or a deadlock; nothing of the transaction was done."""

    code = "database_away"


@contextmanager
def _retryable() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise DatabaseAway(f"the database cannot be used now: {error.__class__.__name__}") from error


class SqlStorage:
    """Transactions over a Database; DatabaseAway where a repeat may help."""

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

    @contextmanager
    def read_schemas(self) -> Iterator[SqlSchemas]:
        with _retryable(), self._database.read() as connection:
            yield SqlSchemas(connection)


def _dialect(connection: Connection) -> Any:
    """The dialect's own `insert`; imported when needed, as the other database's takes a fifth of a second."""
    return import_module(f"sqlalchemy.dialects.{connection.dialect.name}")


def _fields(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


def _model(row: Row[Any]) -> Model:
    fields = _fields(row)
    del fields["entries"]
    return Model(**fields)


def _version(row: Row[Any]) -> Version:
    fields = _fields(row)
    return Version(**{**fields, "stage": VersionStage(fields["stage"])})


def _aliases() -> Select[Any]:
    at = and_(t.versions.c.model == t.aliases.c.model, t.versions.c.version == t.aliases.c.version)
    return select(t.aliases, t.versions.c.digest).outerjoin_from(t.aliases, t.versions, at)


def _alias(row: Row[Any]) -> Alias:
    fields = _fields(row)
    del fields["model"]
    return Alias(**fields)


def _key(row: Row[Any]) -> ApiKey:
    fields = _fields(row)
    return ApiKey(**{**fields, "scopes": tuple(fields["scopes"])})
