"""Threads that predict: each takes all waiting requests as one batch, and asks one version after the other.

One thread for several small versions costs a third of a thread for each. A version that takes too long is left alone
with the thread that it blocks; a new thread goes on with the other versions (`Lane.part`).
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.inference import Rows
from modelyard_serving.errors import ServingError

Floats = NDArray[np.float64]
Objects = NDArray[np.object_]
Predict = Callable[[Any, Any], Any]
"""(numeric (rows, n_num), categorical (rows, n_cat)) -> scores (rows, n) or values (rows,)."""


class Inputs(NamedTuple):
    """Input of a predictor. numeric: (rows, n_num), NaN = missing. categorical: (rows, n_cat), None = missing."""

    numeric: Floats
    categorical: Objects

    @classmethod
    def of(cls, rows: Rows, numeric_columns: int, text_columns: int) -> Self:
        """Arrays from the flat lists of the codec."""
        return cls(
            np.array(rows.numeric, dtype=np.float64).reshape(rows.size, numeric_columns),
            np.array(rows.texts, dtype=object).reshape(rows.size, text_columns),
        )

    @property
    def rows(self) -> int:
        return len(self.numeric)


class Scores(NamedTuple):
    """The scores of one request as lists: arrays would be read on the event loop, which has to wait for the thread."""

    width: int
    """Scores per row."""
    flat: list[float]
    """Row-major."""
    best: list[int]
    """Index of the largest score of each row."""
    finite: bool


class Outcome(NamedTuple):
    """What a version made of one request. started, ended: of its prediction, in time.monotonic()."""

    scores: Scores | Exception
    started: float
    ended: float


@dataclass(eq=False)
class Member:
    """A version and the lane that asks it."""

    name: str
    predict: Predict
    lane: "Lane"


@dataclass(eq=False)
class Waiting:
    """One request in the queue. deadline: in time.monotonic(); a later answer is of no use."""

    inputs: Inputs
    members: Sequence[Member]
    deadline: float
    done: "asyncio.Future[None]"
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By name of the member; complete once there is one for each of `members`."""


Work = tuple[Waiting, Sequence[Member]]
"""A request, and those of its members that this lane asks."""


class Unfinished(NamedTuple):
    """A batch and the members that have not been asked yet."""

    batch: list[Work]
    members: list[Member]


class Lane:
    """One thread with its queue. `put`, `part` and `close` are called on the event loop."""

    def __init__(
        self,
        max_batch_rows: int,
        slow_s: float,
        queue: "SimpleQueue[Work | None] | None" = None,
        begun: Unfinished | None = None,
    ) -> None:
        self._max_batch_rows, self._slow_s = max_batch_rows, slow_s
        self._queue = queue or SimpleQueue()
        self._lock = Lock()
        self._left: list[Member] = []
        self._asked: Member | None = None
        self._since = 0.0
        self._batch: list[Work] = []
        self.batches = self.rows = 0
        self.fast = 0
        """Predictions since the last one that took longer than `slow_s`."""
        self._thread = Thread(target=self._work, args=(begun,), name="predictor", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def busy_s(self) -> float:
        """How long the current prediction has taken; 0 without one."""
        return time.monotonic() - self._since if self._asked is not None else 0.0

    def asks(self, member: Member) -> bool:
        """Whether the thread is in a prediction of this member."""
        return self._asked is member

    def put(self, waiting: Waiting, members: Sequence[Member]) -> None:
        self._queue.put((waiting, members))

    def close(self) -> None:
        """End the thread once the queue is finished."""
        self._queue.put(None)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end of the thread; after `timeout_s` it is left to the end of the process."""
        self._thread.join(timeout_s)

    def part(self) -> "tuple[Member, Lane] | None":
        """Leave a member whose prediction takes longer than `slow_s` alone in this lane.

        Returns it with the lane that takes over everything else; None if no prediction takes that long.
        """
        with self._lock:
            if self._asked is None or self.busy_s <= self._slow_s:
                return None
            unfinished, queue = Unfinished(self._batch, self._left), self._queue
            self._left, self._queue = [], SimpleQueue()
            return self._asked, Lane(self._max_batch_rows, self._slow_s, queue, unfinished)

    def _work(self, begun: Unfinished | None) -> None:
        if begun is not None:
            self._run(*begun)
        closed = False
        while not closed:
            batch, closed = self._take()
            now = time.monotonic()
            alive = [work for work in batch if not work[0].done.done() and now < work[0].deadline]
            if alive:
                self._run(alive, list(dict.fromkeys(member for _, members in alive for member in members)))

    def _take(self) -> tuple[list[Work], bool]:
        """Block for one request, then take all waiting ones up to the batch limit; True once the queue is closed."""
        batch: list[Work] = []
        rows = 0
        while True:
            work = self._queue.get()
            if work is None:
                return batch, True
            batch.append(work)
            rows += work[0].inputs.rows
            if rows >= self._max_batch_rows or self._queue.empty():
                return batch, False

    def _run(self, batch: list[Work], members: list[Member]) -> None:
        """Ask the members one after the other, until none is left or another lane has taken over."""
        self._batch, self._left = batch, members
        joined = _Joined()
        while (member := self._next()) is not None:
            self._ask(member, [waiting for waiting, wanted in batch if member in wanted], joined)
            with self._lock:
                self._asked = None
        self.batches += 1
        self.rows += sum(waiting.inputs.rows for waiting, _ in batch)
        self._batch = []
        loop = batch[0][0].done.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(_resolve, [waiting for waiting, _ in batch])

    def _next(self) -> Member | None:
        with self._lock:
            self._asked = self._left.pop(0) if self._left else None
            self._since = time.monotonic()
            return self._asked

    def _ask(self, member: Member, batch: list[Waiting], joined: "_Joined") -> None:
        """Predict all requests together; if that fails, one by one, so that a bad row fails only its own request."""
        started = self._since
        try:
            results: list[Scores | Exception] = list(_scores(member, batch, joined.of(batch)))
        except Exception as error:
            results = [error] if len(batch) == 1 else [_alone(member, waiting) for waiting in batch]
        ended = time.monotonic()
        self.fast = self.fast + 1 if ended - started <= self._slow_s else 0
        for waiting, result in zip(batch, results, strict=True):
            waiting.outcomes[member.name] = Outcome(result, started, ended)


class _Joined:
    """The inputs of a batch in one array each, kept for the next member that the same requests ask."""

    def __init__(self) -> None:
        self._batch: list[Waiting] = []
        self._inputs: Inputs | None = None

    def of(self, batch: list[Waiting]) -> Inputs:
        if self._inputs is None or self._batch != batch:
            self._batch, self._inputs = batch, _join(batch)
        return self._inputs


def _join(batch: list[Waiting]) -> Inputs:
    if len(batch) == 1:
        return batch[0].inputs
    return Inputs(
        np.concatenate([waiting.inputs.numeric for waiting in batch]),
        np.concatenate([waiting.inputs.categorical for waiting in batch]),
    )


def _scores(member: Member, batch: list[Waiting], inputs: Inputs) -> list[Scores]:
    """The scores of each request; a version's error is raised."""
    scores = np.asarray(member.predict(inputs.numeric, inputs.categorical), dtype=np.float64)
    if scores.ndim == 1:
        scores = scores[:, None]
    if scores.ndim != 2 or len(scores) != inputs.rows or not scores.shape[1]:
        raise ServingError(f"the model returned scores of shape {scores.shape} for {inputs.rows} rows")
    width, flat, best = scores.shape[1], scores.ravel().tolist(), scores.argmax(axis=1).tolist()
    finite = bool(np.isfinite(scores).all())
    if len(batch) == 1:
        return [Scores(width, flat, best, finite)]
    found, end = [], 0
    for waiting in batch:
        start, end = end, end + waiting.inputs.rows
        own = flat[start * width : end * width]
        found.append(Scores(width, own, best[start:end], finite or all(map(math.isfinite, own))))
    return found


def _alone(member: Member, waiting: Waiting) -> Scores | Exception:
    try:
        return _scores(member, [waiting], waiting.inputs)[0]
    except Exception as error:
        return error


def _resolve(batch: list[Waiting]) -> None:
    for waiting in batch:
        if len(waiting.outcomes) == len(waiting.members) and not waiting.done.done():
            waiting.done.set_result(None)
