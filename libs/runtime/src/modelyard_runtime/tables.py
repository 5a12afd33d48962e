"""The tables that every service with a database has, and the type of a moment in them."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    TypeDecorator,
    Uuid,
    and_,
    or_,
    text,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC, on every database (SQLite alone would forget the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a moment needs its zone: {value!r}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def is_one_of(
    versions: Collection[tuple[str, int]], model: ColumnElement[str], version: ColumnElement[int]
) -> ColumnElement[bool]:
    """Whether a row is of one of these versions of models.

    model: has an index, so `version` may be a field of a JSON document: it is read of the rows of these models only.
    """
    numbers: dict[str, list[int]] = {}
    for name, number in versions:
        numbers.setdefault(name, []).append(number)
    pairs = (and_(model == name, version.in_(some)) for name, some in numbers.items())
    return and_(model.in_(numbers), or_(*pairs))


def literally_in(column: str, values: Iterable[StrEnum]) -> TextClause:
    """Condition of a partial index and of the queries that use it, with the values as literals.

    A database uses such an index only for a query whose condition is the same text; with parameters it does not.
    """
    return text(f"{column} IN ({', '.join(repr(value.value) for value in values)})")


def metadata_tables(metadata: MetaData) -> None:
    """Add the `outbox` and `inbox` tables to a service's MetaData; the same shape everywhere. Repeats do nothing."""
    if "outbox" in metadata.tables:
        return
    position = BigInteger().with_variant(Integer, "sqlite")
    Table(
        "outbox",
        metadata,
        Column("position", position, primary_key=True, autoincrement=True),
        Column("event_id", Uuid, nullable=False, unique=True),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("headers", Text, nullable=False, comment="JSON object of Kafka headers"),
        Column("body", LargeBinary, nullable=False, comment="Avro, as it will be sent"),
        Column("queued_at", UtcDateTime, nullable=False),
        Column("sent_at", UtcDateTime, comment="NULL until the broker has acknowledged"),
        Index(
            "outbox_unsent", "position", postgresql_where=text("sent_at IS NULL"), sqlite_where=text("sent_at IS NULL")
        ),
        Index("outbox_sent", "sent_at"),
        sqlite_autoincrement=True,
    )
    Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("event_id", Uuid, primary_key=True),
        Column("claimed_at", UtcDateTime, nullable=False),
    )


def add_changes_table(metadata: MetaData) -> None:
    """Add the `changes` table, the log that `GET /v1/changes` follows. Repeats do nothing."""
    if "changes" in metadata.tables:
        return
    position = BigInteger().with_variant(Integer, "sqlite")
    Table(
        "changes",
        metadata,
        Column("position", position, primary_key=True, autoincrement=True),
        Column("transaction", BigInteger, nullable=False, comment="transaction id in PostgreSQL, 0 in SQLite"),
        Column("type", Text, nullable=False),
        Column("subject", Text, nullable=False, comment="id of the resource"),
        Column("model", Text, nullable=False, comment="reference of the model"),
        Column("changed_at", UtcDateTime, nullable=False),
        Index("changes_order", "transaction", "position"),
        Index("changes_age", "changed_at"),
        sqlite_autoincrement=True,
    )


def create_changes_table(connection: Connection) -> None:
    """For a migration: create `changes` (`create_changes_table(op.get_bind())`)."""
    metadata = MetaData()
    add_changes_table(metadata)
    metadata.create_all(connection)


def runtime_metadata() -> MetaData:
    """A MetaData of the two tables alone."""
    metadata = MetaData()
    metadata_tables(metadata)
    return metadata


def create_runtime_tables(connection: Connection) -> None:
    """For a migration: create `outbox` and `inbox` (`create_runtime_tables(op.get_bind())`)."""
    runtime_metadata().create_all(connection)


RUNTIME_METADATA: Final = runtime_metadata()
add_changes_table(RUNTIME_METADATA)
OUTBOX: Final = RUNTIME_METADATA.tables["outbox"]
INBOX: Final = RUNTIME_METADATA.tables["inbox"]
CHANGES: Final = RUNTIME_METADATA.tables["changes"]
