"""Micro-batching: one thread predicts, and takes all waiting requests at once."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.inference import Rows
from modelyard_serving.errors import DeadlinePassed, Overloaded, ServingError

Floats = NDArray[np.float64]
Objects = NDArray[np.object_]
Predict = Callable[[Any, Any], Any]
"""(numeric (rows, n_num), categorical (rows, n_cat)) -> scores (rows, n) or values (rows,)."""


@dataclass(frozen=True)
class Inputs:
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


@dataclass(frozen=True)
class Waiting:
    """One request in the queue. deadline: in time.monotonic(); a later answer is of no use."""

    inputs: Inputs
    deadline: float
    done: "asyncio.Future[Floats]"


class Batcher:
    """Predicts in one thread. `submit` is called on one event loop; `close` finishes the queue and ends the thread."""

    def __init__(self, predict: Predict, *, max_batch_rows: int, max_waiting_rows: int) -> None:
        self._predict = predict
        self._max_batch_rows, self._max_waiting_rows = max_batch_rows, max_waiting_rows
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._waiting_rows = 0
        self._thread = Thread(target=self._work, name="predictor", daemon=True)
        self.batches = self.rows = 0
        self._thread.start()

    async def submit(self, inputs: Inputs, timeout_s: float) -> Floats:
        """Scores of shape (rows, n). Overloaded at once if the queue is full, DeadlinePassed after `timeout_s`."""
        if self._waiting_rows and self._waiting_rows + inputs.rows > self._max_waiting_rows:
            raise Overloaded(f"{self._waiting_rows} rows are waiting; try again")
        self._waiting_rows += inputs.rows
        done: asyncio.Future[Floats] = asyncio.get_running_loop().create_future()
        self._queue.put(Waiting(inputs, time.monotonic() + timeout_s, done))
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError as error:
            raise DeadlinePassed(f"no prediction within {timeout_s:.3f} s") from error
        finally:
            self._waiting_rows -= inputs.rows

    def close(self, timeout_s: float | None = None) -> None:
        """Finish the queue, then end the thread; after `timeout_s` it is left to the end of the process."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        closed = False
        while not closed:
            batch, closed = self._take()
            alive = [waiting for waiting in batch if not waiting.done.done() and time.monotonic() < waiting.deadline]
            if alive:
                self._answer(alive)

    def _take(self) -> tuple[list[Waiting], bool]:
        """Block for one request, then take all waiting ones up to the batch limit; True once the queue is closed."""
        batch: list[Waiting] = []
        rows = 0
        while True:
            waiting = self._queue.get()
            if waiting is None:
                return batch, True
            batch.append(waiting)
            rows += waiting.inputs.rows
            if rows >= self._max_batch_rows or self._queue.empty():
                return batch, False

    def _answer(self, batch: list[Waiting]) -> None:
        """Predict all requests together; if that fails, one by one, so that a bad row fails only its own request."""
        try:
            results: list[Floats | Exception] = list(self._scores(batch))
        except Exception as error:
            results = [error] if len(batch) == 1 else [self._alone(waiting) for waiting in batch]
        self.batches += 1
        self.rows += sum(waiting.inputs.rows for waiting in batch)
        loop = batch[0].done.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(_resolve, [waiting.done for waiting in batch], results)

    def _alone(self, waiting: Waiting) -> "Floats | Exception":
        try:
            return self._scores([waiting])[0]
        except Exception as error:
            return error

    def _scores(self, batch: list[Waiting]) -> list[Floats]:
        if len(batch) == 1:
            return [self._checked(batch[0].inputs)]
        numeric = np.concatenate([waiting.inputs.numeric for waiting in batch])
        categorical = np.concatenate([waiting.inputs.categorical for waiting in batch])
        ends = np.cumsum([waiting.inputs.rows for waiting in batch])[:-1]
        return np.split(self._checked(Inputs(numeric, categorical)), ends)

    def _checked(self, inputs: Inputs) -> Floats:
        scores = np.asarray(self._predict(inputs.numeric, inputs.categorical), dtype=np.float64)
        if scores.ndim == 1:
            scores = scores[:, None]
        if scores.ndim != 2 or len(scores) != inputs.rows:
            raise ServingError(f"the model returned scores of shape {scores.shape} for {inputs.rows} rows")
        return scores


def _resolve(futures: "list[asyncio.Future[Floats]]", results: "list[Floats | Exception]") -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
