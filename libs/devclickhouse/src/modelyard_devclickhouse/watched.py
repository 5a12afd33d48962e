"""A streaming insert that raises when its write fails.

The engine's own streaming insert (chDB 26.9) raises for invalid data, but not when the write fails: a full disk, a
violated constraint, too many parts, a failing view. It reports rows as written that are not stored. So the insert's id
is recorded at its start, and if any insert of the process has failed by its end, the engine's log shows which.

Each check costs as much as a small query, so the number of failures is carried over from insert to insert and queried
again after any error: an outdated number only causes an extra check.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from modelyard_devclickhouse.errors import ClickHouseError

FAILED_INSERTS: Final = "SELECT sum(value) FROM system.events WHERE event = 'FailedInsertQuery'"
UNSURE: Final = 425
"""SYSTEM_ERROR, which clients may retry: safe under a deduplication token."""


class Inserter(Protocol):
    def append(self, data: bytes) -> None: ...
    def finish(self) -> Any: ...
    def cancel(self) -> None: ...


class Asks(Protocol):
    def ask(self, sql: str) -> str:
        """Return the first value of the result, empty if there is no row."""


class Failures:
    """The known number of failed inserts of the process. Thread-safe."""

    def __init__(self, engine: Asks) -> None:
        self._engine = engine
        self._known: str | None = None

    def known(self) -> str:
        """Return the last known number; queries the engine if it is unknown."""
        known = self._known
        return self.now() if known is None else known

    def now(self) -> str:
        self._known = self._engine.ask(FAILED_INSERTS)
        return self._known

    def forget(self) -> None:
        """Discard the known number after an error."""
        self._known = None


class WatchedInsert:
    """An Inserter whose `finish` returns only if the rows are stored. Blocks."""

    def __init__(self, inserter: Inserter, engine: Asks, own_id_sql: str, failures: Failures | None = None) -> None:
        """own_id_sql: returns the engine's id of this insert, which has just started."""
        self._inserter, self._engine = inserter, engine
        self._failures = failures or Failures(engine)
        self._own_id = engine.ask(own_id_sql)
        self._failed_before = self._failures.known()

    def append(self, data: bytes) -> None:
        self._inserter.append(data)

    def cancel(self) -> None:
        self._failures.forget()
        self._inserter.cancel()

    def finish(self) -> Any:
        """Return the engine's result. Raises ClickHouseError if the rows may not be stored."""
        done = self._inserter.finish()
        if self._failures.now() != self._failed_before:
            raise self._error()
        return done

    def _error(self) -> ClickHouseError:
        sql = (
            "SELECT concat(toString(code), ' ', name, ' ', last_error_message) FROM system.errors "  # noqa: S608
            f"WHERE query_id = '{self._own_id}' ORDER BY last_error_time DESC LIMIT 1"
        )
        code, _, rest = (self._engine.ask(sql) if self._own_id else "").partition(" ")
        if not code.isdigit():
            return ClickHouseError(
                UNSURE,
                "SYSTEM_ERROR",
                "another insert failed at the same time; it is unknown whether this one failed, too.",
            )
        name, _, text = rest.partition(" ")
        return ClickHouseError(int(code), name, text)
