"""Changes of resources as a log, written in the transaction of the change and read by those who follow it.

A row states that a resource changed, not how: a follower is given the resource as it is when it is read. So a page of
the log holds each resource once, and nothing is ever sent that was rolled back.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import Connection, and_, delete, func, insert, literal, or_, select

from modelyard_runtime.clock import Clock
from modelyard_runtime.tables import CHANGES

if TYPE_CHECKING:
    from modelyard_runtime.database import Database

KEEP_CHANGES: Final = timedelta(days=1)
MEMORY_CHANGES: Final = 1_000
Notify = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One resource changed. `cursor` is the place in the log; `model` is the reference that filters and access use."""

    cursor: str
    type: str
    subject: str
    model: str


class ChangeSource(Protocol):
    """A log of changes that can be followed."""

    def newest(self) -> str:
        """Cursor of the newest change; following starts after it."""
        ...

    def after(self, cursor: str, limit: int) -> list[Change] | None:
        """At most `limit` changes after a cursor, oldest first; None when the cursor is no longer in the log."""
        ...

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call `notify` after each new change, from any thread. Returns the function that ends it."""
        ...


class Subscribers:
    """Functions to call after a change. Thread-safe."""

    def __init__(self) -> None:
        self._notify: list[Notify] = []
        self._lock = Lock()

    def add(self, notify: Notify) -> Callable[[], None]:
        with self._lock:
            self._notify.append(notify)

        def remove() -> None:
            with self._lock:
                self._notify.remove(notify)

        return remove

    def notify(self) -> None:
        with self._lock:
            waiting = list(self._notify)
        for notify in waiting:
            notify()


class Changes:
    """Adds to the log within one transaction."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection, self._clock = connection, clock
        self.added = 0

    def add(self, type_: str, subject: object, *, model: str) -> None:
        """Record that a resource changed.

        type_: the event's name for followers, such as `rollout`. subject: its id. model: its model's reference.
        """
        postgresql = self._connection.dialect.name == "postgresql"
        row = {
            "transaction": func.txid_current() if postgresql else literal(0),
            "type": type_,
            "subject": str(subject),
            "model": model,
            "changed_at": self._clock(),
        }
        self._connection.execute(insert(CHANGES).values(row))
        self.added += 1


class ChangeLog:
    """The log in a service's database. Blocks: call it off the event loop.

    PostgreSQL gives positions before it commits, so a later position can become visible first. The log is therefore
    ordered by transaction and position, and only transactions older than every running one are read.
    """

    def __init__(self, database: "Database") -> None:
        self._database = database

    def newest(self) -> str:
        """Cursor of the newest change; `0.0` in an empty log."""
        newest = select(CHANGES.c.transaction, CHANGES.c.position)
        newest = newest.order_by(CHANGES.c.transaction.desc(), CHANGES.c.position.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(newest.where(*_settled(connection))).first()
        return "0.0" if row is None else _cursor(row)

    def after(self, cursor: str, limit: int) -> list[Change] | None:
        """Changes after a cursor, oldest first; None when the cursor's row was deleted or never existed."""
        place = _parsed(cursor)
        if place is None:
            return None
        with self._database.read() as connection:
            if place != (0, 0) and connection.execute(select(CHANGES.c.type).where(_at(place))).first() is None:
                return None
            found = select(CHANGES).where(_past(place), *_settled(connection))
            found = found.order_by(CHANGES.c.transaction, CHANGES.c.position).limit(limit)
            return [Change(_cursor(row), row.type, row.subject, row.model) for row in connection.execute(found)]

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call `notify` after each commit of this process that changed something; other processes are polled."""
        return self._database.on_changed(notify)

    def prune(self, keep: timedelta = KEEP_CHANGES) -> int:
        """Delete older changes; returns how many. A follower that is further back gets a `reset`."""
        with self._database.transaction() as tx:
            old = delete(CHANGES).where(CHANGES.c.changed_at < self._database.clock() - keep)
            return tx.connection.execute(old).rowcount


class MemoryChanges:
    """A log in memory, for a service without a database. Thread-safe; a restart resets its followers."""

    def __init__(self, capacity: int = MEMORY_CHANGES) -> None:
        self._start = secrets.token_hex(4)
        self._changes: deque[Change] = deque(maxlen=capacity)
        self._count = 0
        self._lock = Lock()
        self._subscribers = Subscribers()

    def add(self, type_: str, subject: object, *, model: str) -> None:
        """Record that a resource changed; see `Changes.add`."""
        with self._lock:
            self._count += 1
            self._changes.append(Change(f"{self._start}.{self._count}", type_, str(subject), model))
        self._subscribers.notify()

    def newest(self) -> str:
        """Cursor of the newest change."""
        with self._lock:
            return f"{self._start}.{self._count}"

    def after(self, cursor: str, limit: int) -> list[Change] | None:
        """Changes after a cursor; None when it is older than the oldest kept change, or of an earlier start."""
        start, _, number = cursor.partition(".")
        with self._lock:
            oldest = self._count - len(self._changes)
            if start != self._start or not number.isdigit() or not oldest <= int(number) <= self._count:
                return None
            skip = int(number) - oldest
            return list(self._changes)[skip : skip + limit]

    def subscribe(self, notify: Notify) -> Callable[[], None]:
        """Call `notify` after each change."""
        return self._subscribers.add(notify)


def latest_of_each(changes: Iterable[Change]) -> list[Change]:
    """Only the newest change of each resource, in the order of the log."""
    newest = {(change.type, change.subject): change for change in changes}
    return [change for change in changes if newest[change.type, change.subject] is change]


def _cursor(row: Any) -> str:
    return f"{row.transaction}.{row.position}"


def _parsed(cursor: str) -> tuple[int, int] | None:
    transaction, _, position = cursor.partition(".")
    if not (transaction.isdecimal() and position.isdecimal() and len(cursor) < 40):
        return None
    place = int(transaction), int(position)
    return place if max(place) < 2**63 else None


def _at(place: tuple[int, int]) -> Any:
    return and_(CHANGES.c.transaction == place[0], CHANGES.c.position == place[1])


def _past(place: tuple[int, int]) -> Any:
    transaction, position = place
    same = and_(CHANGES.c.transaction == transaction, CHANGES.c.position > position)
    return or_(CHANGES.c.transaction > transaction, same)


def _settled(connection: Connection) -> tuple[Any, ...]:
    if connection.dialect.name != "postgresql":
        return ()  # SQLite has one writer at a time: positions are in the order of commits
    return (CHANGES.c.transaction < func.txid_snapshot_xmin(func.txid_current_snapshot()),)
