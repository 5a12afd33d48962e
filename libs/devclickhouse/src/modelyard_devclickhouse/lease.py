"""A handle prepared for one statement: database, settings, external tables, read-only lock."""

from __future__ import annotations

import re
from typing import Final

from modelyard_devclickhouse.engine import Engine, Handle, name, quote
from modelyard_devclickhouse.errors import BadRequest, ReadOnly, from_engine
from modelyard_devclickhouse.request import Request, external_columns
from modelyard_devclickhouse.rules import check_columns, check_settings, input_format
from modelyard_devclickhouse.sessions import Session
from modelyard_devclickhouse.sql import Kind, Statement

_SETTING: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_CHUNK: Final = 1 << 20


class Lease:
    """Opened and closed in a worker thread; a writer's session keeps its handle, all others get a new one."""

    def __init__(self, engine: Engine, request: Request, session: Session | None) -> None:
        self._engine, self._request, self._session = engine, request, session
        self._handle: Handle | None = None

    @property
    def query_id(self) -> str:
        """The client's."""
        return self._request.query_id

    @property
    def _kept(self) -> Session | None:
        # SET readonly locks a reader's handle permanently; such a session has nothing to keep except USE.
        return None if self._request.reader else self._session

    def open(self, statement: Statement, sql: str) -> Handle:
        """Raises ReadOnly if a reader or a GET does more than read, as the engine parses the statement."""
        request, kept = self._request, self._kept
        given = check_settings(request.settings, reader=request.reader, defaults=self._engine.defaults)
        settings = {_checked(key): quote(value) for key, value in given.items()}
        if request.reader:
            settings["input_format_values_interpret_expressions"] = "0"
        if statement.kind is Kind.INSERT:  # streaming inserts accept no parameters
            settings |= {f"param_{_checked(k)}": quote(v) for k, v in request.query_parameters.items()}
        if kept:
            handle = kept.handle = kept.handle or self._engine.connect()
            database = self._wanted() or kept.database
            moved, kept.current_database = kept.current_database != database, database
            self._handle = handle
            handle.prepare(database=database if moved else "", settings=kept.changes(settings))
        else:
            self._handle = handle = self._engine.connect()
            handle.prepare(database=self._database(), settings=settings)
        self._load_external(handle)
        self._hold_to_reading(handle, statement, sql)
        return handle

    def _database(self) -> str:
        return self._wanted() or (self._session.database if self._session else self._engine.database)

    def _wanted(self) -> str:
        return self._request.parameters.get("database", "")

    def _hold_to_reading(self, handle: Handle, statement: Statement, sql: str) -> None:
        request = self._request
        if request.reader:
            handle.prepare(readonly=1)
        may = statement.keyword in ("KILL", "USE") and request.reader  # checked by the rules
        if (request.reader or request.method != "POST") and not may and not handle.is_read_only(sql):
            raise ReadOnly("Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly.")

    def _load_external(self, handle: Handle) -> None:
        for table, file in self._request.files.items():
            format, columns = external_columns(self._request, table)
            check_columns(columns)
            handle.run(f"CREATE OR REPLACE TEMPORARY TABLE {name(table)} ({columns})")
            begun = handle.insert(f"INSERT INTO {name(table)}", input_format(format))
            inserter = self._engine.watched(begun, self.query_id)
            try:
                while chunk := file.read(_CHUNK):
                    inserter.append(chunk)
                inserter.finish()
            except Exception as error:
                inserter.cancel()
                raise from_engine(error) from None

    def close(self, *, failed: bool) -> None:
        """Drop the handle, or clear the session's: output of a failed statement must not reach the next one."""
        handle, kept = self._handle, self._kept
        if handle is None:
            return
        if kept is None:
            handle.close()
            return
        for table in self._request.files:
            handle.run(f"DROP TEMPORARY TABLE IF EXISTS {name(table)}")
        if failed:
            handle.run("SELECT 1")


def _checked(key: str) -> str:
    if not _SETTING.match(key):
        raise BadRequest(f"the URL parameter {key!r} is no name of a setting")
    return key
