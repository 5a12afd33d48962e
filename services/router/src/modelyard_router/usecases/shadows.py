"""Copies of requests for versions whose answers are only logged. They never slow or fail the answer."""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from modelyard_contracts import PredictionStatus
from modelyard_router.domain.answers import read_rows
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.ports import PredictionLog
from modelyard_router.plan.executor import Executor
from modelyard_router.plan.planner import Copy, Decision
from modelyard_router.usecases.exchange import Exchange
from modelyard_router.usecases.recorder import OK, Recorder, Result

MAX_CONCURRENT: Final = 32
log = logging.getLogger(__name__)


class Shadows:
    """For one event loop. At most `max_concurrent` copies are in flight; further ones are dropped and counted."""

    def __init__(
        self,
        executor: Executor,
        recorder: Recorder,
        spool: PredictionLog,
        counters: Counters,
        max_concurrent: int = MAX_CONCURRENT,
    ) -> None:
        self._executor, self._recorder, self._spool, self._counters = executor, recorder, spool, counters
        self._max_concurrent = max_concurrent
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    def send(self, exchange: Exchange, copies: Sequence[Copy]) -> None:
        """Start the copies of an answered request; does not wait."""
        for copy in copies:
            if len(self._tasks) >= self._max_concurrent or self._spool.full:
                self._counters.copies["dropped"] += 1
                continue
            task = self._loop.create_task(self._run(exchange, copy))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel the copies in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, exchange: Exchange, copy: Copy) -> None:
        started = time.perf_counter()
        deadline = self._loop.time() + exchange.route.timeout_s
        decision = Decision((copy.candidate._replace(after=frozenset()),))
        read = partial(read_rows, count=len(exchange.rows))
        try:
            done = await self._executor.run(decision, exchange.tail_for, deadline, read)
            if done.failure is None and done.answer is None:
                self._counters.copies["not_matching"] += 1  # the request does not match that version's contract
                return
            status: PredictionStatus = OK if done.failure is None else done.failure.kind
            result = Result(done.leaf, done.leaf.rule, status, done.answer or (), done.attempts, done.votes)
            self._recorder.record_copy(exchange, result, started)
            self._counters.copies["sent"] += 1
        except Exception:
            self._counters.copies["failed"] += 1
            log.exception("the copy %s of route %s failed", copy.name, exchange.route.name)
