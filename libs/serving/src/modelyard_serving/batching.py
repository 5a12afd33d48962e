"""Micro-batching: requests wait for the thread that predicts, which takes all of them at once."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from modelyard_serving.errors import DeadlinePassed, Overloaded
from modelyard_serving.lanes import Inputs, Lane, Member, Outcome, Predict, Waiting

SLOW_S: Final = 0.1
"""A version whose prediction takes longer gets a thread of its own, so that the others do not wait for it."""
FAST_AGAIN: Final = 100
"""Predictions without a slow one after which such a version shares a thread again."""
HUNG_S: Final = 2.0
"""A version whose prediction takes longer is not ready."""


class Batcher:
    """Predicts with one or several versions. Used on one event loop; `close` finishes the queues and ends the threads.

    All versions share a thread, except those that are slow.
    """

    def __init__(self, *, max_batch_rows: int, max_waiting_rows: int, slow_s: float = SLOW_S) -> None:
        self._max_batch_rows, self._max_waiting_rows, self._slow_s = max_batch_rows, max_waiting_rows, slow_s
        self._shared = Lane(max_batch_rows, slow_s)
        self._members: dict[str, Member] = {}
        self._leaving: dict[str, Member] = {}
        self._past: list[Lane] = []
        self._waiting_rows = 0
        self._watching: asyncio.TimerHandle | None = None

    def add(self, name: str, predict: Predict) -> None:
        self._members[name] = Member(name, predict, self._shared)

    def remove(self, name: str) -> None:
        """Accept no more requests for a version; those in the queue are still answered."""
        member = self._members.pop(name, None)
        if member is not None:
            self._leaving[name] = member
            if member.lane is not self._shared:
                self._end(member.lane)

    def gone(self, name: str) -> bool:
        """Whether no thread is in a prediction of a removed version any more."""
        member = self._leaving.get(name)
        if member is None:
            return name not in self._members
        if member.lane.asks(member):
            return False
        del self._leaving[name]
        return True

    def hung(self, name: str) -> bool:
        """Whether a version has been in one prediction for longer than HUNG_S."""
        member = self._members.get(name)
        return member is not None and member.lane.asks(member) and member.lane.busy_s > HUNG_S

    @property
    def batches(self) -> int:
        return sum(lane.batches for lane in self._lanes())

    @property
    def rows(self) -> int:
        return sum(lane.rows for lane in self._lanes())

    async def submit(self, inputs: Inputs, names: Sequence[str], timeout_s: float) -> Mapping[str, Outcome]:
        """Outcomes by version, without those that are not there after `timeout_s`; DeadlinePassed if none is.

        names: known versions, each once. Overloaded at once if the queue is full.
        """
        if self._waiting_rows and self._waiting_rows + inputs.rows > self._max_waiting_rows:
            raise Overloaded(f"{self._waiting_rows} rows are waiting; try again")
        self._waiting_rows += inputs.rows
        loop = asyncio.get_running_loop()
        members = [self._members[name] for name in names]
        waiting = Waiting(inputs, members, time.monotonic() + timeout_s, loop.create_future())
        try:
            self._put(waiting)
            self._watch(loop)
            async with asyncio.timeout(timeout_s):
                await waiting.done
        except TimeoutError as error:
            if not waiting.outcomes:
                raise DeadlinePassed(f"no prediction within {timeout_s:.3f} s") from error
        finally:
            self._waiting_rows -= inputs.rows
        return waiting.outcomes

    def close(self, timeout_s: float | None = None) -> None:
        """Finish the queues, then end the threads; after `timeout_s` they are left to the end of the process."""
        lanes = self._lanes()
        for lane in lanes:
            lane.close()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        for lane in lanes:
            lane.join(None if until is None else max(until - time.monotonic(), 0.0))

    def _lanes(self) -> list[Lane]:
        return list(dict.fromkeys([self._shared, *(one.lane for one in self._members.values()), *self._past]))

    def _put(self, waiting: Waiting) -> None:
        lanes: dict[Lane, list[Member]] = {}
        for member in waiting.members:
            lanes.setdefault(member.lane, []).append(member)
        for lane, members in lanes.items():
            lane.put(waiting, members)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for slow predictions as long as requests wait.

        A single version has nothing to be kept apart from, but a removed one that may still be in the thread.
        """
        if self._watching is None and len(self._members) + len(self._leaving) > 1:
            self._watching = loop.call_later(self._slow_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = None
        if (parted := self._shared.part()) is not None:
            slow, others = parted
            for member in self._members.values():
                if member is not slow and member.lane is self._shared:
                    member.lane = others
            if self._members.get(slow.name) is not slow:
                self._end(slow.lane)
            self._shared = others
        self._rejoin()
        if self._waiting_rows:
            self._watch(loop)

    def _rejoin(self) -> None:
        """Versions that are fast again share a thread again."""
        for member in self._members.values():
            lane = member.lane
            if lane is not self._shared and lane.fast > FAST_AGAIN:
                member.lane = self._shared
                self._end(lane)

    def _end(self, lane: Lane) -> None:
        lane.close()
        self._past = [one for one in self._past if one.alive] + [lane]
