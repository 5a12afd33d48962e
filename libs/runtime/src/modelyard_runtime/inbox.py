"""The inbox: an event is claimed in the transaction of its effect, so a repeat changes nothing."""

from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Connection, delete, select, tuple_

from modelyard_contracts.topics import all_topics
from modelyard_runtime.clock import Clock
from modelyard_runtime.tables import INBOX

if TYPE_CHECKING:
    from modelyard_runtime.database import Database

LATE: Final = timedelta(days=14)
"""A broker deletes whole segments only, and closes one after seven days by default; and clocks differ."""
FORGOTTEN_AT_ONCE: Final = 1_000
"""Claims deleted in one transaction: on SQLite, writers wait for it."""


class Inbox:
    """Claims events within one transaction."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def claim(self, consumer: str, event_id: UUID) -> bool:
        """True exactly once per consumer and event, if the transaction commits, until the claim is forgotten.

        A concurrent claim of the same event waits for this transaction, and takes over if it is rolled back.
        """
        # Imported when needed: the other database's takes a fifth of a second at every start.
        dialect: Any = import_module(f"sqlalchemy.dialects.{self._connection.dialect.name}")
        row = {"consumer": consumer, "event_id": event_id, "claimed_at": self._clock()}
        claim = dialect.insert(INBOX).values(row).on_conflict_do_nothing().returning(INBOX.c.event_id)
        return self._connection.execute(claim).first() is not None


def longest_retention() -> timedelta:
    """Longest retention of a topic with limited retention."""
    return timedelta(milliseconds=max(spec.retention_ms for spec in all_topics()))


def claims_kept() -> timedelta:
    """How long a claim is needed: after that the broker cannot deliver the event again.

    A compacted topic can. Its handlers must tolerate a repeat without a claim, as the last event of each key may be
    delivered again when a group has lost its offsets.
    """
    return longest_retention() + LATE


def forget_claims(database: "Database", kept: timedelta) -> int:
    """Delete older claims; returns their number. Safe to interrupt, and to run twice at once."""
    old = select(INBOX.c.consumer, INBOX.c.event_id).where(INBOX.c.claimed_at < database.clock() - kept)
    forgotten = 0
    while True:
        with database.read() as connection:  # searching takes no write lock
            found = [tuple(row) for row in connection.execute(old.limit(FORGOTTEN_AT_ONCE))]
        if not found:
            return forgotten
        with database.transaction() as tx:
            tx.connection.execute(delete(INBOX).where(tuple_(INBOX.c.consumer, INBOX.c.event_id).in_(found)))
        forgotten += len(found)
