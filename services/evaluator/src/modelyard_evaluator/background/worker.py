"""The background worker: advances evaluations that are due, one at a time."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from modelyard_evaluator.domain.errors import StaleEvaluation
from modelyard_evaluator.domain.evaluation import Evaluation, Stage
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.usecases.advance import advance
from modelyard_runtime.wakeup import Wakeup

IDLE_S: Final = 0.5
BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
log = logging.getLogger(__name__)


class EvaluationWorker:
    """Runs one evaluation at a time, since parallel scorings would distort each other's latency.

    A waiting evaluation costs one count of rows per second.
    """

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._wakeup = Wakeup()
        self._backoff: dict[UUID, tuple[datetime, float]] = {}
        """Evaluations with an unexpected error: next attempt and pause in seconds."""
        self.notify = self._wakeup.notify

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if not await self._move(stop):
                await self._wakeup.pause(stop, IDLE_S)

    async def _move(self, stop: asyncio.Event) -> bool:
        """Advance new evaluations and then, until one has moved, the others: a more urgent one may have come meanwhile.

        Returns whether any has moved.
        """
        moved = False
        for evaluation in await asyncio.to_thread(self._due):
            if stop.is_set() or (moved and evaluation.stage is not Stage.PENDING):
                break
            moved |= await asyncio.to_thread(self._advance, evaluation)
        return moved

    def _due(self) -> list[Evaluation]:
        now = self._deps.clock()
        with self._deps.storage.read() as evaluations:
            due = evaluations.due(now)
        ready = [item for item in due if item.id not in self._backoff or self._backoff[item.id][0] <= now]
        return sorted(ready, key=_urgency)

    def _advance(self, evaluation: Evaluation) -> bool:
        """Advance through all stages that need no waiting; True if the evaluation moved.

        A new one is resolved only: how urgent it is shows then.
        """
        new = evaluation.stage is Stage.PENDING
        try:
            after = advance(self._deps, evaluation)
            while not new and not after.done and after.stage is not evaluation.stage:
                evaluation, after = after, advance(self._deps, after)
        except StaleEvaluation:
            return True
        except Exception:
            self._back_off(evaluation)
            return False
        self._backoff.pop(evaluation.id, None)
        return after.done or after.stage is not evaluation.stage

    def _back_off(self, evaluation: Evaluation) -> None:
        """Remember an unexpected error in memory: the database itself may be the cause."""
        now = self._deps.clock()
        pause_s = min(self._backoff.get(evaluation.id, (now, BACKOFF_S / 2))[1] * 2, MAX_BACKOFF_S)
        self._backoff[evaluation.id] = (now + timedelta(seconds=pause_s), pause_s)
        log.exception("evaluation %s failed and is retried in %.0f s", evaluation.id, pause_s)


def _urgency(evaluation: Evaluation) -> int:
    """New ones first, as little is known of them; snapshots of online learners last: a training run cost more."""
    if evaluation.stage is Stage.PENDING:
        return 0
    return 1 if evaluation.learner is None else 2
