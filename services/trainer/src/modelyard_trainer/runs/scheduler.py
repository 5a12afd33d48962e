"""Starts the runs of schedules. Nothing is remembered but the policies: what is due follows from the newest run."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from modelyard_runtime.errors import ModelyardError, Retryable
from modelyard_runtime.wakeup import pause
from modelyard_trainer.domain.ports import LabelCounts, Schedules
from modelyard_trainer.domain.schedule import Turn
from modelyard_trainer.usecases import Deps, retrain_on_schedule

TICK_S: Final = 1.0
log = logging.getLogger(__name__)


class Scheduler:
    """Run `run` as a background task; `tick` starts the runs that are due, and blocks."""

    def __init__(self, deps: Deps, schedules: Schedules, labels: LabelCounts) -> None:
        self._deps, self._schedules, self._labels = deps, schedules, labels
        self._counted, self._asked = _Attempts(), _Attempts()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`."""
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.tick)
            except Retryable as error:
                log.warning("schedules: %s; trying again", error)
            await pause(stop, TICK_S)

    def tick(self) -> None:
        """Start the runs that are due now. A model that fails does not affect the others."""
        now = self._deps.clock()
        turns = [Turn(one, self._deps.runs.newest(one.model)) for one in self._schedules.all()]
        waiting = [turn for turn in turns if not turn.rests(now, self._deps.policy_time)]
        labels = self._count([turn for turn in waiting if turn.counts_labels], now)
        for turn in waiting:
            if turn.due(now, labels.get(turn.schedule.model, 0), self._deps.policy_time) and self._asked.may(turn, now):
                self._start(turn, labels)

    def _count(self, turns: list[Turn], now: datetime) -> Mapping[str, int]:
        """Count the labels of the models that are due; empty while ClickHouse does not answer."""
        counting = {turn.schedule.model: turn.since for turn in turns if self._counted.may(turn, now)}
        try:
            return self._labels.since(counting)
        except Retryable as error:  # schedules of a time go on
            log.warning("schedules: %s; trying again", error)
            return {}

    def _start(self, turn: Turn, labels: Mapping[str, int]) -> None:
        model = turn.schedule.model
        try:
            run = retrain_on_schedule(self._deps, self._schedules, turn, labels)
        except Retryable as error:
            log.warning("schedule of %s: %s; trying again", model, error)
        except ModelyardError as error:
            log.error("schedule of %s: %s", model, error)  # noqa: TRY400  a trace adds nothing
        except Exception:  # an unexpected error affects this model only
            log.exception("schedule of %s failed", model)
        else:
            if run is not None:
                log.info("schedule of %s: run %s %s %s", model, run.id, run.state.value, run.reason or run.why)


class _Attempts:
    """Moments of the last attempts, so that those that start no run become rare."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[datetime, datetime]] = {}

    def may(self, turn: Turn, now: datetime) -> bool:
        """Return whether an attempt of a turn may be made now, and note it if so."""
        since, at = self._last.get(turn.schedule.model, (None, now))
        if since == turn.since and now < turn.next_attempt(at):
            return False
        self._last[turn.schedule.model] = (turn.since, now)
        return True
