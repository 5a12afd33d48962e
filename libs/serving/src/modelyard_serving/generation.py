"""Text generation: a thread generates, pieces travel to the event loop as they are made. Models of providers, which
compute elsewhere, have several threads.

A slow reader holds the thread back (at most BUFFER pieces are waiting); a reader that leaves ends its generation before
the next piece.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import BoundedSemaphore, Event, Thread
from time import monotonic
from typing import Any, Final

from modelyard_contracts.inference.generate import GenerateRequest, Prompt, Usage
from modelyard_flavours.predictor import LENGTH, Ended
from modelyard_serving.errors import DeadlinePassed, Overloaded, RefusedParameter, serving_error
from modelyard_serving.loading import Generator

BUFFER: Final = 64
CANCEL_POLL_S: Final = 0.1
REMOTE_THREADS: Final = 32
"""Generations at one time of a model of a provider; its connection may limit them further."""


@dataclass(frozen=True)
class Finished:
    """The end of a generation. `length`: the limit `max_tokens` was reached. usage: None if a provider reports none."""

    finish_reason: str
    usage: Usage | None


Piece = str | Finished


@dataclass
class _Job:
    """One generation, shared between the event loop and the thread."""

    prompt: Prompt
    parameters: dict[str, Any]
    max_tokens: int | None
    loop: asyncio.AbstractEventLoop
    pieces: "asyncio.Queue[Piece | Exception]" = field(default_factory=asyncio.Queue)
    room: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(BUFFER))
    cancelled: Event = field(default_factory=Event)

    def put(self, piece: Piece | Exception) -> None:
        """Hand a piece to the reader, from the thread; waits for room."""
        while not self.room.acquire(timeout=CANCEL_POLL_S):
            if self.cancelled.is_set():
                return
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)


class Generation:
    """Generates in one thread, one request after another; in several for a model of a provider.

    remote: the model is one of a provider, which applies the limit of tokens itself.
    """

    def __init__(self, generator: Generator, *, max_waiting: int, remote: bool = False) -> None:
        self._generator, self._max_waiting, self._remote = generator, max_waiting, remote
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._open = 0
        self.generations = self.tokens = 0
        count = REMOTE_THREADS if remote else 1
        self._threads = [Thread(target=self._work, name="generator", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    async def stream(self, request: GenerateRequest, timeout_s: float) -> AsyncGenerator[Piece]:
        """Pieces of the answer, Finished last. Overloaded, RefusedParameter, DeadlinePassed, or the model's error."""
        job = _Job(request.prompt, request.parameters or {}, _max_tokens(request), asyncio.get_running_loop())
        if self._open > self._max_waiting:
            raise Overloaded(f"{self._open} generations are waiting; try again")
        self._open += 1
        self._jobs.put(job)
        deadline = job.loop.time() + timeout_s
        try:
            piece: Piece | Exception = ""
            while not isinstance(piece, Finished):
                async with asyncio.timeout_at(deadline):
                    piece = await job.pieces.get()
                job.room.release()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        except TimeoutError as error:
            raise DeadlinePassed(f"the generation did not end within {timeout_s:.3f} s") from error
        finally:
            job.cancelled.set()
            self._open -= 1

    def close(self, timeout_s: float | None = None) -> None:
        """Finish the queue, then end the threads; after `timeout_s` they are left to the end of the process."""
        until = None if timeout_s is None else monotonic() + timeout_s
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(None if until is None else max(until - monotonic(), 0.0))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.cancelled.is_set():
                try:
                    self._generate(job)
                except Exception as error:
                    job.put(serving_error(error))

    def _generate(self, job: _Job) -> None:
        pieces = self._generator.generate(job.prompt, job.parameters)
        self.generations += 1
        count, end = self._send(job, pieces)
        self.tokens += count
        if isinstance(end, Ended):
            job.put(Finished(end.finish_reason, end.usage))
        else:
            job.put(Finished(end, Usage(self._generator.count_tokens(job.prompt), count)))

    def _send(self, job: _Job, pieces: Iterator[str]) -> tuple[int, str | Ended]:
        """Send pieces until they end, the limit is reached or the reader leaves."""
        limit = None if self._remote else job.max_tokens
        count = 0
        with contextlib.closing(pieces):  # type: ignore[type-var]  # generators have close()
            while not job.cancelled.is_set():
                try:
                    piece = next(pieces)
                except StopIteration as ended:
                    return count, ended.value or "stop"
                job.put(piece)
                count += 1
                if count == limit:
                    return count, LENGTH
        return count, "stop"


def _max_tokens(request: GenerateRequest) -> int | None:
    limit = (request.parameters or {}).get("max_tokens")
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise RefusedParameter("parameters.max_tokens: send a whole number above 0", field="max_tokens")
    return limit
