"""A streaming insert that tells of its failure.

The engine's own (chDB 26.9) raises what is wrong with the data, and says nothing when the write fails: a full disk, a
violated constraint, too many parts, a view that throws. It counts rows as written that are not there. So: its id is
noted when it begins, and when any insert of the process has failed by its end, the engine is asked whether it was this.

Each question costs the engine as much as a small query, so the count of failures is carried on from insert to insert,
and asked for anew after any error: a count too old only makes a good insert look doubtful.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from modelyard_devclickhouse.errors import ClickHouseError

FAILED_INSERTS: Final = "SELECT sum(value) FROM system.events WHERE event = 'FailedInsertQuery'"
UNSURE: Final = 425
"""SYSTEM_ERROR, which clients may try again: under a deduplication token that is safe."""


class Inserter(Protocol):
    def append(self, data: bytes) -> None: ...
    def finish(self) -> Any: ...
    def cancel(self) -> None: ...


class Asks(Protocol):
    def ask(self, sql: str) -> str:
        """The first value of the answer, empty when there is no row."""


class Failures:
    """How many inserts of the process have failed, as far as known. For several threads."""

    def __init__(self, engine: Asks) -> None:
        self._engine = engine
        self._known: str | None = None

    def known(self) -> str:
        """A count of some moment since which no error was told; asks when there is none."""
        known = self._known
        return self.now() if known is None else known

    def now(self) -> str:
        self._known = self._engine.ask(FAILED_INSERTS)
        return self._known

    def forget(self) -> None:
        """Something went wrong: what is known may be too little."""
        self._known = None


class WatchedInsert:
    """An Inserter; `finish` returns only when the engine has not failed. Blocks."""

    def __init__(self, inserter: Inserter, engine: Asks, own_id_sql: str, failures: Failures | None = None) -> None:
        """own_id_sql: asks for the engine's own id of this insert, which has just begun."""
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
        """What the engine says was written. ClickHouseError: nothing is known to be stored, whatever it said."""
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
                UNSURE, "SYSTEM_ERROR", "another insert failed at the same time; whether this one did cannot be told."
            )
        name, _, text = rest.partition(" ")
        return ClickHouseError(int(code), name, text)
