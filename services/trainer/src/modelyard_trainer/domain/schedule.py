"""When a model is retrained without a drift: every N labels, after a time, or as its labelled rows have grown."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

from modelyard_contracts import Part, UtcDatetime, derived_id
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.run import Run

PolicyTime = Callable[[datetime], datetime]
"""Moments of the clock as moments that policies compare; see modelyard_runtime.policy_time."""
SCHEDULE_TRIGGER: Final = "schedule"
CHECKS: Final = 100
"""The next attempt follows after the past wait over this: a model that is retrained once a day has its labels counted
every quarter of an hour in the end."""


class Schedule(Part):
    """The schedule of one model, as its retraining policy had it when it was last read."""

    model: str
    every_rows: int | None = None
    every_s: float | None = None
    growth: float | None = None
    most_rows: int = 0
    """Most rows that a run learns from; growth has no effect beyond them."""
    cool_down_s: float = 0.0
    since: UtcDatetime
    """Moment of the first policy with a schedule: without a run, labels and time count from it."""

    def following(self, policy: RetrainPolicy) -> Self | None:
        """The schedule under a policy; None if the policy has none."""
        names = ("every_rows", "every_s", "growth")
        if not policy.enabled or all(getattr(policy, name) is None for name in names):
            return None
        found = {name: getattr(policy, name) for name in (*names, "cool_down_s")}
        only_recent = policy.windows == ("recent",)
        most = policy.window_rows if only_recent else max(policy.window_rows, policy.history_rows)
        return self.model_copy(update={**found, "most_rows": most})


@dataclass(frozen=True)
class Turn:
    """The wait for one run of a schedule: from the newest run, or from the beginning of the schedule."""

    schedule: Schedule
    newest: Run | None
    """Newest run that was not refused, whatever started it."""

    @property
    def since(self) -> datetime:
        """Labels that arrive after this moment count."""
        start = self.schedule.since
        return start if self.newest is None else max(start, self.newest.as_of)

    @property
    def run_id(self) -> UUID:
        """Id of the run that ends this wait. A wait has one run, however often and by whomever it is found due."""
        after = self.schedule.since.isoformat() if self.newest is None else self.newest.id
        return derived_id("scheduled-run", self.schedule.model, after)

    @property
    def counts_labels(self) -> bool:
        """Whether the number of labels can end this wait."""
        return self.schedule.every_rows is not None or self._grown_at is not None

    @property
    def _grown_at(self) -> int | None:
        """Labels after which the rows have grown enough; None if growth starts no run."""
        growth, learned = self.schedule.growth, None if self.newest is None else self.newest.rows
        if growth is None or not learned or learned >= self.schedule.most_rows:
            return None
        return math.ceil(learned * (growth - 1))

    def next_attempt(self, attempted_at: datetime) -> datetime:
        """Moment of the next attempt after one that started no run: the longer the wait, the rarer."""
        return attempted_at + (attempted_at - self.since) / CHECKS

    def rests(self, now: datetime, time: PolicyTime) -> bool:
        """Return whether the newest run is open, or its cool-down has not passed, in policy time."""
        if self.newest is None:
            return False
        ended_at = self.newest.ended_at
        return ended_at is None or time(now) - time(ended_at) < timedelta(seconds=self.schedule.cool_down_s)

    def due(self, now: datetime, labels: int, time: PolicyTime) -> str:
        """Return why a run is due, in words; '' if it is not.

        labels: number that arrived since `since`. time: what `every_s` counts in.
        """
        every_rows, every_s = self.schedule.every_rows, self.schedule.every_s
        if every_rows is not None and labels >= every_rows:
            return f"{labels} labels have arrived since {self._start}; the schedule is every {every_rows}"
        grown_at = self._grown_at
        if grown_at is not None and labels >= grown_at:
            return f"{labels} labels have arrived since {self._start}; that is enough more rows to learn from"
        waited_s = (time(now) - time(self.since)).total_seconds()
        if every_s is not None and waited_s >= every_s:
            return f"{waited_s:.0f} s have passed since {self._start}; the schedule is every {every_s:.0f} s"
        return ""

    @property
    def _start(self) -> str:
        return "the schedule began" if self.newest is None else f"run {self.newest.id} was created"
