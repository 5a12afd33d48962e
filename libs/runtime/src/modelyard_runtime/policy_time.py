"""The time that policies count in: the clock's, or in a backtest the time of the data that is replayed.

A backtest sends a month of rows in seconds, and waits while a training runs. Cool-downs, budgets and steps of a rollout
then last as long as in the data, however fast the machine is. Time-outs of processes stay on the clock.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PolicyTime(Protocol):
    """Moments of the clock as moments that policies compare."""

    def __call__(self, moment: datetime) -> datetime: ...

    def reach(self, now: datetime, span: timedelta) -> timedelta:
        """Return how far back on the clock the last `span` of policy time begins."""
        ...


class ClockTime:
    """Policies count in the time of the clock."""

    def __call__(self, moment: datetime) -> datetime:
        return moment

    def reach(self, now: datetime, span: timedelta) -> timedelta:
        return span


class ReplayTime:
    """Policies count in the time of replayed data: a step function that the backtest writes line by line.

    A line holds two numbers, seconds since 1970: from this moment of the clock on, the data are at that moment. The
    first data moment also holds before the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._clock: list[float] = []
        self._data: list[float] = []

    def __call__(self, moment: datetime) -> datetime:
        self._read()
        if not self._data:
            return moment
        return EPOCH + timedelta(seconds=self._data[max(bisect_right(self._clock, moment.timestamp()) - 1, 0)])

    def reach(self, now: datetime, span: timedelta) -> timedelta:
        begin = (self(now) - span - EPOCH).total_seconds()
        if not self._data:
            return span
        places = [
            place for place, data in enumerate(self._data) if data > begin and self._clock[place] <= now.timestamp()
        ]
        return now - datetime.fromtimestamp(self._clock[places[0]], UTC) if places else timedelta(0)

    def _read(self) -> None:
        """Read again what was appended; a torn last line is left for the next call."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if size == self._size:
            return
        lines = [line.split() for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        self._clock = [float(clock) for clock, _ in lines]
        self._data = [float(data) for _, data in lines]
        self._size = size


def policy_time_of(path: Path | None) -> PolicyTime:
    """The time of the file's data, or of the clock without a file."""
    return ClockTime() if path is None else ReplayTime(path)
