"""Micro-batching: one thread predicts, and takes everything that waits at once."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from modelyard_serving.errors import DeadlinePassed, Overloaded, ServingError
from modelyard_serving.protocol import Floats, Rows

Predict = Callable[[Any, Any], Any]
"""(numeric (rows, n_num), categorical (rows, n_cat)) -> scores (rows, n_scores)."""


@dataclass(frozen=True)
class Waiting:
    rows: Rows
    deadline: float
    """time.monotonic() after which nobody waits for the answer."""
    done: "asyncio.Future[Floats]"


class Batcher:
    """Predicts in one thread. `submit` is called on one event loop; `close` ends the thread after what waits."""

    def __init__(self, predict: Predict, *, max_batch_rows: int, max_waiting_rows: int) -> None:
        self._predict = predict
        self._max_batch_rows, self._max_waiting_rows = max_batch_rows, max_waiting_rows
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._waiting_rows = 0
        self._thread = Thread(target=self._work, name="predictor", daemon=True)
        self.batches = self.rows = 0
        self._thread.start()

    async def submit(self, rows: Rows, timeout_s: float) -> Floats:
        """Scores of shape (rows, n); Overloaded at once when too much waits, DeadlinePassed when the time is up."""
        if self._waiting_rows and self._waiting_rows + rows.count > self._max_waiting_rows:
            raise Overloaded(f"{self._waiting_rows} rows are waiting; try again")
        self._waiting_rows += rows.count
        done: asyncio.Future[Floats] = asyncio.get_running_loop().create_future()
        self._queue.put(Waiting(rows, time.monotonic() + timeout_s, done))
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError as error:
            raise DeadlinePassed(f"no prediction within {timeout_s:.3f} s") from error
        finally:
            self._waiting_rows -= rows.count

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._take()
            alive = [waiting for waiting in batch if not waiting.done.done() and time.monotonic() < waiting.deadline]
            if alive:
                self._answer(alive)

    def _take(self) -> tuple[list[Waiting], bool]:
        """Block for one, then everything that waits, up to the batch limit; and whether the end was seen."""
        batch: list[Waiting] = []
        count = 0
        while True:
            waiting = self._queue.get()
            if waiting is None:
                return batch, True
            batch.append(waiting)
            count += waiting.rows.count
            if count >= self._max_batch_rows or self._queue.empty():
                return batch, False

    def _answer(self, batch: list[Waiting]) -> None:
        """One prediction for all; when it fails, one each, so that a single bad row fails alone."""
        try:
            results: list[Floats | Exception] = list(self._scores(batch))
        except Exception as error:
            results = [error] if len(batch) == 1 else [self._alone(waiting) for waiting in batch]
        self.batches += 1
        self.rows += sum(waiting.rows.count for waiting in batch)
        loop = batch[0].done.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, [waiting.done for waiting in batch], results)

    def _alone(self, waiting: Waiting) -> "Floats | Exception":
        try:
            return self._scores([waiting])[0]
        except Exception as error:
            return error

    def _scores(self, batch: list[Waiting]) -> list[Floats]:
        if len(batch) == 1:
            return [self._checked(batch[0].rows)]
        numeric = np.concatenate([waiting.rows.numeric for waiting in batch])
        categorical = np.concatenate([waiting.rows.categorical for waiting in batch])
        ends = np.cumsum([waiting.rows.count for waiting in batch])[:-1]
        return np.split(self._checked(Rows(numeric, categorical)), ends)

    def _checked(self, rows: Rows) -> Floats:
        scores = np.asarray(self._predict(rows.numeric, rows.categorical), dtype=np.float64)
        if scores.ndim == 1:
            scores = scores[:, None]
        if scores.ndim != 2 or len(scores) != rows.count:
            raise ServingError(f"the model gave scores of shape {scores.shape} for {rows.count} rows")
        return scores


def _resolve(futures: "list[asyncio.Future[Floats]]", results: "list[Floats | Exception]") -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
