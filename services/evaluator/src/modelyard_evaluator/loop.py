"""The background worker: takes open evaluations whose time has come, one at a time."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from modelyard_evaluator import store
from modelyard_evaluator.domain.model import Evaluation
from modelyard_evaluator.stages import Deps
from modelyard_evaluator.usecases import advance
from modelyard_runtime.pauses import Wakeup

IDLE_S: Final = 0.5
PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
log = logging.getLogger(__name__)


class EvaluationLoop:
    """One at a time: two scorings side by side would measure each other's load. Those that only wait cost a count."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._wakeup = Wakeup()
        self._paused: dict[UUID, tuple[datetime, float]] = {}
        self.notify = self._wakeup.notify

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            moved = False
            for evaluation in await asyncio.to_thread(self._due):
                if stop.is_set():
                    return
                moved |= await asyncio.to_thread(self._advance, evaluation)
            if not moved:
                await self._wakeup.pause(stop, IDLE_S)

    def _due(self) -> list[Evaluation]:
        now = self._deps.clock()
        with self._deps.database.read() as db:
            found = store.due(db, now)
        return [one for one in found if one.id not in self._paused or self._paused[one.id][0] <= now]

    def _advance(self, evaluation: Evaluation) -> bool:
        """All the stages that need no waiting; True when it moved."""
        try:
            after = advance(self._deps, evaluation)
            while not after.done and after.stage is not evaluation.stage:
                evaluation, after = after, advance(self._deps, after)
        except store.StaleEvaluation:
            return True
        except Exception:
            self._pause(evaluation)
            return False
        self._paused.pop(evaluation.id, None)
        return after.done or after.stage is not evaluation.stage

    def _pause(self, evaluation: Evaluation) -> None:
        """An error that nobody foresaw, perhaps of the database itself: remembered here, not there."""
        now = self._deps.clock()
        pause_s = min(self._paused.get(evaluation.id, (now, PAUSE_S / 2))[1] * 2, MAX_PAUSE_S)
        self._paused[evaluation.id] = (now + timedelta(seconds=pause_s), pause_s)
        log.exception("evaluation %s failed and is tried again in %.0f s", evaluation.id, pause_s)
