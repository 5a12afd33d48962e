"""The embedded engine: one per process, many handles. Every call here blocks; run it in a thread.

A handle is a ClickHouse session. A request without a session gets a fresh one (half a millisecond) and drops it
afterwards, so that no setting, database or pending output can reach the next request.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelyard_devclickhouse.config import FILES_DATABASE
from modelyard_devclickhouse.errors import ClickHouseError, from_engine
from modelyard_devclickhouse.watched import Failures, Inserter, WatchedInsert

HEADROOM_BYTES: Final = 16 << 20
_NEEDLESS: Final = ("pyarrow", "pandas", "numpy")


@dataclass(frozen=True)
class Answer:
    data: bytes
    read_rows: int
    read_bytes: int
    result_rows: int
    written_rows: int
    written_bytes: int
    elapsed_s: float


def quote(value: str) -> str:
    """Return a ClickHouse string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def name(value: str) -> str:
    """Return a ClickHouse identifier in backquotes."""
    return "`" + value.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Handle:
    """One engine connection. Not thread-safe. Raises ClickHouseError."""

    def __init__(self, connection: Any, on_error: Callable[[], None]) -> None:
        self._connection = connection
        self._on_error = on_error

    def run(self, sql: str, format: str = "TabSeparated", params: Mapping[str, str] | None = None) -> Answer:
        """params: values as in the HTTP interface, TabSeparated-escaped."""
        try:
            got = self._connection.query(sql, format, params=dict(params or {}))
        except Exception as error:
            self._on_error()
            raise from_engine(error) from None
        return Answer(
            bytes(got.bytes() or b""),
            got.storage_rows_read(),
            got.storage_bytes_read(),
            got.rows_read(),
            got.rows_written(),
            got.bytes_written(),
            got.elapsed(),
        )

    def prepare(self, *, database: str = "", settings: Mapping[str, str] | None = None, readonly: int = 0) -> None:
        """Choose the database and set settings (values are SQL literals or DEFAULT), then lock the handle."""
        if database:
            self.run(f"USE {name(database)}")
        if settings:
            self.run("SET " + ", ".join(f"{key}={value}" for key, value in settings.items()))
        if readonly:
            self.run(f"SET readonly={readonly}")

    def insert(self, head: str, format: str) -> Inserter:
        """Start an insert of encoded data; rows become visible with finish()."""
        try:
            return self._connection.send_insert(head, format)  # type: ignore[no-any-return]
        except Exception as error:
            self._on_error()
            raise from_engine(error) from None

    def is_read_only(self, sql: str) -> bool:
        """Return whether the engine parses exactly one statement, and it only reads. Raises its syntax error."""
        found = self._connection._conn.classify_query(sql)
        if found["statement_count"] == 0:
            self.run(sql)  # nothing that the parser refuses is executed
        return str(found["query_class"]).endswith("READ_ONLY") and found["statement_count"] == 1

    def close(self) -> None:
        self._connection.close()


class Engine:
    """Opens the data folder; the process must hold the folder's lock."""

    def __init__(self, folder: Path, config: Path, database: str) -> None:
        self._folder = folder
        self._address = f"{folder}?config-file={config}"
        self._chdb = import_chdb()
        self._failures = Failures(self)
        self._admin = self.connect()
        self._admin_lock = threading.Lock()
        self._admin.run("SET max_threads = 1")
        self._admin.run(f"DROP DATABASE IF EXISTS {name(FILES_DATABASE)}")
        self._admin.run(f"CREATE DATABASE IF NOT EXISTS {name(database)} ENGINE = Atomic")
        text = self._admin.run("SELECT version(), timezone()").data.decode()
        self.version, self.timezone = text.rstrip("\n").split("\t")
        self.database = database
        self.content_types = self._pairs("SELECT name, content_type FROM system.formats WHERE is_output")
        self.defaults = self._pairs("SELECT name, value FROM system.settings")
        """Of the engine's settings."""

    def _pairs(self, sql: str) -> dict[str, str]:
        """Return the first two columns as a dictionary."""
        rows = (line.split("\t", 1) for line in self._admin.run(sql, "TSVRaw").data.decode().splitlines())
        return {row[0]: row[1] for row in rows if len(row) == 2}

    def connect(self) -> Handle:
        try:
            return Handle(self._chdb.connect(self._address), self._failures.forget)
        except Exception as error:
            raise from_engine(error) from None

    def kill(self, query_id: str) -> None:
        """Stop a running statement by the client's query id; unknown ids are ignored."""
        with self._admin_lock:
            self._admin.run(f"KILL QUERY WHERE {QUERY_ID} = {quote(query_id)} ASYNC")

    def check_room(self) -> None:
        """Refuse writes on a nearly full disk: a truncated part may stay broken."""
        if shutil.disk_usage(self._folder).free < HEADROOM_BYTES:
            text = f"less than {HEADROOM_BYTES >> 20} MiB are free in {self._folder}, nothing was inserted"
            raise ClickHouseError(243, "NOT_ENOUGH_SPACE", f"{text}; free disk space there.")

    def watched(self, inserter: Inserter, query_id: str) -> Inserter:
        """Wrap the insert started under the client's `query_id`, so that a failed write raises."""
        own_id = f"SELECT query_id FROM system.processes WHERE {QUERY_ID} = {quote(query_id)} LIMIT 1"  # noqa: S608
        return WatchedInsert(inserter, self, own_id, self._failures)

    def ask(self, sql: str) -> str:
        """Return the first value of the result, empty if there is no row."""
        with self._admin_lock:
            return self._admin.run(sql, "TSVRaw").data.decode(errors="replace").rstrip("\n")

    def close(self) -> None:
        self._admin.close()


QUERY_ID: Final = "splitByChar(' ', Settings['log_comment'])[1]"
"""The engine assigns its own query ids; the client's id is the first word of log_comment."""


def import_chdb() -> Any:
    """Load chDB without its packages for Python data, which are not needed here: saves 40 MB and 2 s.

    The packages chdb and chdb-core both install `chdb/__init__.py`. One of the two imports `chdb.state` at the first
    connection only, when the wall would refuse it: so it is imported here.
    """
    hidden = {module: sys.modules.get(module) for module in _NEEDLESS}
    for module in _NEEDLESS:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    try:
        import chdb
        import chdb.state
    finally:
        for module, before in hidden.items():
            if before is None:
                sys.modules.pop(module, None)
    return chdb
