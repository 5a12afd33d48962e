"""SQL: one engine per service, transactions that carry inbox and outbox, migrations at the start."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from modelyard_contracts.codec import Codec
from modelyard_runtime.changes import Changes, Subscribers
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Retryable, StartupError
from modelyard_runtime.inbox import Inbox
from modelyard_runtime.migrations import migrate
from modelyard_runtime.outbox import Outbox
from modelyard_runtime.tables import (
    UtcDateTime,
    create_changes_table,
    create_runtime_tables,
    metadata_tables,
    runtime_metadata,
)

BUSY_TIMEOUT_MS: Final = 10_000
"""How long a SQLite writer waits for another; far longer than any of our transactions."""
CONNECT_TIMEOUT_S: Final = 10
UNWRITABLE: Final = ("disk is full", "disk I/O error", "readonly database", "No space left", "could not extend file")
"""Messages of SQLite and PostgreSQL for a disk that cannot be written."""
SQLITE_TRANSIENT: Final = (
    *("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_SCHEMA", "SQLITE_INTERRUPT", "SQLITE_NOMEM"),
    *("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"),
)
"""Names of SQLite's errors that depend on others and on the disk; all others are about the statement."""
POSTGRESQL_LIMITS: Final = "54"
"""Class of PostgreSQL's operational errors about the statement: too complex, too many columns."""
_SWITCH_AGAIN_S: Final = 0.01
_READ_ONLY: Final = "modelyard_read_only"


def open_engine(url: str) -> Engine:
    """An engine for sqlite:///file or postgresql://...; connects lazily. StartupError if the URL cannot be used."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise StartupError("database_url is no URL such as sqlite:///file.db or postgresql://...") from error
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed.set(drivername="sqlite"))
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
    raise StartupError(f"database_url: {parsed.get_backend_name()} is not supported; use sqlite or postgresql")


def _open_sqlite(url: Any) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StartupError("database_url: SQLite in memory cannot be shared between threads; give a file")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we begin transactions: the driver would begin them late and deferred
        _write_ahead(connection)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another wrote meanwhile, without waiting.
        read_only = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to its write-ahead log, once and for all processes.

    If two processes switch at the same moment SQLite reports "locked" to one of them at once, to avoid a deadlock.
    """
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                raise
            time.sleep(_SWITCH_AGAIN_S)


class DatabaseAway(Retryable):
    """The database cannot be reached, is locked, or requires a retry of the transaction."""

    code = "database_away"


class DatabaseBusy(DatabaseAway):
    """All connections of this process are in use; nothing was done."""

    code = "database_busy"


class DatabaseUnwritable(DatabaseAway):
    """Its disk is full or read-only; nothing was stored, and the transaction can be retried."""

    code = "database_unwritable"


@contextmanager
def _meaning(engine: Engine) -> Iterator[None]:
    try:
        yield
    except NoFreeConnection as error:
        raise DatabaseBusy(
            f"no free connection to the database in {_place(engine)}: {engine.pool.status()}; "
            "requests that hold one take too long, or there are too many at once"
        ) from error
    except (OperationalError, InterfaceError) as error:
        if _is_a_mistake(error):
            raise
        reason = str(error.orig or error).strip()
        if any(sign in reason for sign in UNWRITABLE):
            raise DatabaseUnwritable(
                f"the database in {_place(engine)} cannot be written ({reason}), nothing was stored; "
                "free disk space there, or make it writable"
            ) from error
        raise DatabaseAway(reason) from error


def _place(engine: Engine) -> str:
    url = engine.url
    return str(Path(url.database or "").parent) if url.get_backend_name() == "sqlite" else f"PostgreSQL at {url.host}"


def _is_a_mistake(error: OperationalError | InterfaceError) -> bool:
    """Whether the statement is wrong, so that it fails again: SQLite reports that as an operational error too."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", "")  # without one, the driver itself refused a value
        return not name.startswith(SQLITE_TRANSIENT)
    state = getattr(original, "sqlstate", None) or ""
    return state.startswith(POSTGRESQL_LIMITS)


class Transaction:
    """One transaction: the service's own statements, claims of events, events to send, and changes to follow."""

    def __init__(self, connection: Connection, clock: Clock, codec: Codec) -> None:
        self.connection = connection
        self.inbox = Inbox(connection, clock)
        self.outbox = Outbox(connection, clock, codec)
        self.changes = Changes(connection, clock)


class Database:
    """Transactions of one service; safe to share between threads. Blocks: call it off the event loop."""

    def __init__(self, engine: Engine, clock: Clock, codec: Codec | None = None) -> None:
        self.engine = engine
        self.clock = clock
        self._codec = codec or Codec()
        self._queued, self._changed = Subscribers(), Subscribers()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit on success, roll back on any error; the caller retries with a new transaction."""
        with _meaning(self.engine), self.engine.begin() as connection:
            transaction = Transaction(connection, self.clock, self._codec)
            yield transaction
        if transaction.outbox.added:
            self._queued.notify()
        if transaction.changes.added:
            self._changed.notify()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; on SQLite it does not wait for writers."""
        with _meaning(self.engine), self.engine.connect().execution_options(**{_READ_ONLY: True}) as connection:
            yield connection

    def on_queued(self, notify: Callable[[], None]) -> None:
        """Call `notify` after each commit that queued events."""
        self._queued.add(notify)

    def on_changed(self, notify: Callable[[], None]) -> Callable[[], None]:
        """Call `notify` after each commit that changed a resource. Returns the function that ends it."""
        return self._changed.add(notify)

    def close(self) -> None:
        self.engine.dispose()


__all__ = [
    "Database",
    "DatabaseAway",
    "DatabaseBusy",
    "DatabaseUnwritable",
    "Transaction",
    "UtcDateTime",
    "create_changes_table",
    "create_runtime_tables",
    "metadata_tables",
    "migrate",
    "open_engine",
    "runtime_metadata",
]
