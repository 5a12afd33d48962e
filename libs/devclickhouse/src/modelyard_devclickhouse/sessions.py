"""Sessions: handles kept between requests, with their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from modelyard_devclickhouse.engine import Handle
from modelyard_devclickhouse.errors import BadRequest, ClickHouseError
from modelyard_devclickhouse.sql import Kind, Statement, Token

MAX_TIMEOUT_S: Final = 3600.0
MAX_SESSIONS: Final = 256
"""Of one user; beyond it the user's oldest idle session ends."""


@dataclass
class Session:
    """URL settings apply to one request, SET to the session: both are kept separately."""

    database: str
    timeout_s: float
    handle: Handle | None = None
    busy: bool = False
    stateful: bool = False
    """A statement may have left something in it that its client needs: a setting, a database, a temporary table."""
    used_at: float = 0.0
    current_database: str = ""
    set_by_user: dict[str, str] = field(default_factory=dict)
    applied: dict[str, str] = field(default_factory=dict)

    def changes(self, wanted: dict[str, str]) -> dict[str, str]:
        """Return the SET statement from the last request's settings to this one's."""
        gone = self.applied.keys() - wanted.keys()
        restored = {key: self.set_by_user.get(key, "DEFAULT") for key in gone}
        fresh = {key: value for key, value in wanted.items() if self.applied.get(key) != value}
        self.applied = dict(wanted)
        return {**restored, **fresh}

    def learn(self, statement: Statement, text: str) -> None:
        """Remember a successful statement without data: SET, USE, CREATE TEMPORARY TABLE."""
        self.stateful = self.stateful or statement.kind is Kind.COMMAND
        if statement.keyword == "USE":
            self.database = self.current_database = statement.tokens[-1].name
        elif statement.keyword == "SET":
            for key, value in _assignments(statement.tokens[1:], text):
                self.set_by_user[key] = value
                self.applied.pop(key, None)


def _assignments(tokens: tuple[Token, ...], text: str) -> Iterator[tuple[str, str]]:
    raw = text.encode()
    group: list[Token] = []
    for token in (*tokens, None):
        if token is None or (token.kind == "op" and token.text == ","):
            if len(group) >= 3 and group[1].text == "=":
                yield group[0].name, raw[group[2].start : group[-1].end].decode()
            elif len(group) == 1:
                yield group[0].name, "1"
            group = []
        else:
            group.append(token)


class Sessions:
    """All sessions of the server; used on the event loop only. `clock` returns seconds."""

    def __init__(self, database: str, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock
        self._sessions: dict[tuple[str, str], Session] = {}

    def borrow(self, user: str, session_id: str, *, timeout: str, must_exist: bool) -> Session:
        """The named session for one request. Raises errors 372 or 373, like the server."""
        self.expire()
        session = self._sessions.get((user, session_id))
        if session is None:
            if must_exist:
                raise ClickHouseError(372, "SESSION_NOT_FOUND", f"Session {session_id} not found")
            self._make_room(user)
            session = self._sessions[user, session_id] = Session(self._database, _timeout(timeout))
        if session.busy:
            raise ClickHouseError(373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client")
        session.busy = True
        return session

    def give_back(self, session: Session, *, close: bool = False) -> None:
        """End one request of the session; `close` ends the session, too."""
        session.busy, session.used_at = False, self._clock()
        if close:
            self._end(next(key for key, one in self._sessions.items() if one is session))

    def expire(self) -> None:
        now = self._clock()
        for key, session in list(self._sessions.items()):
            if not session.busy and session.used_at + session.timeout_s < now:
                self._end(key)

    def _make_room(self, user: str) -> None:
        """End the user's oldest idle session at the limit, first of those whose loss their client cannot notice."""
        own = {key: one for key, one in self._sessions.items() if key[0] == user}
        if len(own) < MAX_SESSIONS:
            return
        idle = [key for key, one in own.items() if not one.busy]
        if not idle:
            text = f"{MAX_SESSIONS} sessions of {user} are running statements; try again later"
            raise ClickHouseError(202, "TOO_MANY_SIMULTANEOUS_QUERIES", text)
        self._end(min(idle, key=lambda key: (own[key].stateful, own[key].used_at)))

    def _end(self, key: tuple[str, str]) -> None:
        session = self._sessions.pop(key)
        if session.handle:
            session.handle.close()


def _timeout(text: str) -> float:
    try:
        seconds = float(text or 60)
    except ValueError as error:
        raise BadRequest(f"session_timeout must be a number of seconds, not {text!r}") from error
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise BadRequest(f"session_timeout must be between 0 and {MAX_TIMEOUT_S:.0f} seconds, not {text}")
    return seconds
