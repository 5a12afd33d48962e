"""Clocks are passed in: code reads the given clock, never the system's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current moment, with zone, in UTC."""


def system_clock() -> datetime:
    """The system's time, in UTC."""
    return datetime.now(UTC)


class FakeClock:
    """A clock for tests; it moves only when advanced."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Advance (back, by a negative number) and return the new moment."""
        self.now += timedelta(seconds=seconds)
        return self.now
