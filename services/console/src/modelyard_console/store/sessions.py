"""Sessions: one row per signed-in browser. Blocks: call it off the event loop."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Column, LargeBinary, MetaData, Table, delete, insert, or_, select, update

from modelyard_console.domain.sealing import csrf_token, new_cookie, seal, session_id, unseal
from modelyard_runtime.database import Database
from modelyard_runtime.tables import UtcDateTime

SEEN_EVERY: Final = timedelta(minutes=5)
"""How often the last request of a session is written."""
MAX_COOKIE_CHARS: Final = 100

SESSIONS: Final = Table(
    "sessions",
    MetaData(),
    Column("id", LargeBinary, primary_key=True),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True)
class Session:
    """A signed-in browser."""

    cookie: str
    api_key: str
    """The key with which the services are called for this browser."""

    @property
    def csrf(self) -> str:
        return csrf_token(self.cookie)


class Sessions:
    """idle, longest: how long a session lasts without a request, and at most."""

    def __init__(self, database: Database, idle: timedelta, longest: timedelta) -> None:
        self._database, self._idle, self._longest = database, idle, longest

    def open(self, api_key: str) -> Session:
        """Start a session with a key that was checked."""
        cookie, now = new_cookie(), self._database.clock()
        row = {"id": session_id(cookie), "sealed_key": seal(cookie, api_key), "created_at": now, "seen_at": now}
        with self._database.transaction() as tx:
            tx.connection.execute(insert(SESSIONS).values(row))
        return Session(cookie, api_key)

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie; None if there is none or it has ended."""
        if not cookie or len(cookie) > MAX_COOKIE_CHARS:
            return None
        with self._database.read() as connection:
            row = connection.execute(select(SESSIONS).where(SESSIONS.c.id == session_id(cookie))).first()
        now = self._database.clock()
        if row is None or now - row.seen_at > self._idle or now - row.created_at > self._longest:
            return None
        if now - row.seen_at > SEEN_EVERY:
            self._touch(row.id)
        api_key = unseal(cookie, row.sealed_key)
        return None if api_key is None else Session(cookie, api_key)

    def _touch(self, id_: bytes) -> None:
        with self._database.transaction() as tx:
            tx.connection.execute(update(SESSIONS).where(SESSIONS.c.id == id_).values(seen_at=self._database.clock()))

    def end(self, cookie: str) -> None:
        """End a session; ending it again changes nothing."""
        with self._database.transaction() as tx:
            tx.connection.execute(delete(SESSIONS).where(SESSIONS.c.id == session_id(cookie)))

    def prune(self) -> int:
        """Delete ended sessions; returns how many."""
        now = self._database.clock()
        ended = or_(SESSIONS.c.seen_at < now - self._idle, SESSIONS.c.created_at < now - self._longest)
        with self._database.transaction() as tx:
            return tx.connection.execute(delete(SESSIONS).where(ended)).rowcount
