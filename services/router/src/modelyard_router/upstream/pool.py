"""The connections to one replica: reused, bounded, and avoided for a while after a failure."""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final

from modelyard_router.domain.upstreams import CallFailed, CallTimedOut, CutShort, Whole
from modelyard_router.upstream.connection import AnswerHead, Connection, Done

AVOID_MIN_S: Final = 0.25
AVOID_MAX_S: Final = 5.0
TIME_GRAIN_S: Final = 0.001


@dataclass(frozen=True)
class PoolLimits:
    """Bounds on the connections to each replica."""

    max_connections: int = 64
    """Per replica; more requests wait for one, within their deadline."""
    connect_timeout_s: float = 1.0
    """For a new connection, and for a place among `max_connections`."""
    idle_s: float = 30.0
    """Below the keep-alive of the model server (75 s), so that a reused connection is rarely a closed one."""
    tls: ssl.SSLContext | None = None
    """Verifies replicas with https URLs; None: the system's certificate authorities."""


class Pool:
    """Calls one replica. For one event loop."""

    def __init__(self, host: str, port: int, limits: PoolLimits, *, tls: bool = False) -> None:
        self.host, self.port, self._limits = host, port, limits
        self._tls = (limits.tls or ssl.create_default_context()) if tls else None
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._avoid_s = 0.0
        self._avoid_until = 0.0
        self._retired = False
        self.heads: dict[bytes, AnswerHead] = {}
        """Answer heads that its connections have parsed."""
        self.in_flight = 0
        self.groups = True
        """Whether the replica answers one call for several versions, as far as is known."""

    @property
    def avoided(self) -> bool:
        """It failed recently: try it last."""
        return self._avoid_until > self._loop.time()

    async def call(self, data: bytes, deadline: float, sent_by: float | None = None) -> Whole:
        """One request, one answer. CallFailed names why there is none; CutShort when none was sent by `sent_by`.

        A kept-alive connection that turns out closed is replaced once, if no byte of an answer arrived on it.
        """
        self.in_flight += 1
        try:
            answer = await self._call(data, deadline, deadline if sent_by is None else sent_by)
            self._avoid_s = self._avoid_until = 0.0
            return answer
        except CallFailed as error:
            if not isinstance(error, CallTimedOut | CutShort):
                self._avoid()
            raise
        finally:
            self.in_flight -= 1

    async def _call(self, data: bytes, deadline: float, sent_by: float) -> Whole:
        connection = self._reusable() or await self._acquire(deadline, sent_by)
        reused = connection.used
        try:
            return await self._exchange(connection, data, deadline)
        except CallFailed as error:
            if not reused or error.answered or isinstance(error, CallTimedOut):
                raise
        self._drop_idle()  # the cause has most likely closed all of them
        return await self._exchange(await self._acquire(deadline, sent_by), data, deadline)

    def try_send(self, data: bytes, deadline: float, done: Done) -> bool:
        """Send on a connection that is idle now, if there is one; `done` must then pass its outcome to `finish`."""
        connection = self._reusable()
        if connection is None:
            return False
        self.in_flight += 1
        connection.send(data, deadline, done)
        return True

    def finish(self, outcome: Whole | CallFailed) -> bool:
        """End a `try_send`. False: a kept-alive connection was closed, which is not an attempt; use `call` instead."""
        self.in_flight -= 1
        if isinstance(outcome, Whole):
            self._avoid_s = self._avoid_until = 0.0
        elif not isinstance(outcome, CallTimedOut):
            if not outcome.answered:
                self._drop_idle()
                return False
            self._avoid()
        return True

    async def warm(self, deadline: float) -> None:
        """Open one connection unless one is idle; CallFailed when the replica does not accept it."""
        connection = self._reusable() or await self._acquire(deadline, deadline)
        connection.used = True
        self.release(connection)

    async def _exchange(self, connection: Connection, data: bytes, deadline: float) -> Whole:
        answer: asyncio.Future[Whole] = self._loop.create_future()
        connection.send(data, deadline, partial(_resolve, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            connection.close()
            raise

    # connections

    def _reusable(self) -> Connection | None:
        oldest = self._loop.time() - self._limits.idle_s
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    async def _acquire(self, deadline: float, sent_by: float) -> Connection:
        """A new connection, or one that becomes idle while the limit allows no new one."""
        give_up = min(deadline, sent_by, self._loop.time() + self._limits.connect_timeout_s)
        while len(self._open) + self._opening >= self._limits.max_connections:
            await self._wait(give_up, deadline, sent_by)
            if connection := self._reusable():
                return connection
        self._opening += 1
        try:
            return await self._connect(deadline, sent_by)
        finally:
            self._opening -= 1
            if len(self._open) + self._opening < self._limits.max_connections:
                self._wake()  # whatever the outcome, the next waiter may try

    async def _connect(self, deadline: float, sent_by: float) -> Connection:
        give_up = min(deadline, sent_by, self._loop.time() + self._limits.connect_timeout_s)
        try:
            async with asyncio.timeout_at(give_up):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self, self._loop), self.host, self.port, ssl=self._tls
                )
        except TimeoutError as error:
            raise self._late(deadline, sent_by, "connect_timeout", "does not accept connections") from error
        except ssl.SSLError as error:
            raise CallFailed("tls", f"{self.host}:{self.port}: {error.reason or error}", sent=False) from error
        except OSError as error:
            raise CallFailed("connect", f"{self.host}:{self.port}: {error.strerror or error}", sent=False) from error
        self._open.add(connection)
        return connection

    async def _wait(self, give_up: float, deadline: float, sent_by: float) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        woken = False
        try:
            async with asyncio.timeout_at(give_up):
                await turn
            woken = True
        except TimeoutError as error:
            raise self._late(deadline, sent_by, "pool_full", "has no free connection") from error
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not woken:
                self._wake()  # cancelled or timed out in the moment of its turn: pass it on

    def _late(self, deadline: float, sent_by: float, reason: str, detail: str) -> CallFailed:
        """The time that the request had; or the limit of the pool, which alone is evidence about the replica."""
        text, now = f"{self.host}:{self.port} {detail}", self._loop.time() + TIME_GRAIN_S
        if now >= deadline:
            return CallTimedOut(text, sent=False)
        return CutShort(reason, text) if now >= sent_by else CallFailed(reason, text, sent=False)

    def release(self, connection: Connection) -> None:
        """Called by a connection whose answer is complete."""
        if connection.closed or self._retired:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._waiting:
            self._wake()

    def forget(self, connection: Connection) -> None:
        """Called by a connection that is closed."""
        self._open.discard(connection)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    # failures and the end

    def _avoid(self) -> None:
        self._avoid_s = min(max(self._avoid_s * 2, AVOID_MIN_S), AVOID_MAX_S)
        self._avoid_until = self._loop.time() + self._avoid_s

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def retire(self) -> None:
        """No route names this replica any more: close idle connections now, the others once they are answered."""
        self._retired = True
        self._drop_idle()

    def close(self) -> None:
        self.retire()
        for connection in list(self._open):
            connection.close()


def _resolve(answer: "asyncio.Future[Whole]", outcome: Whole | CallFailed) -> None:
    if answer.done():  # the request was cancelled
        return
    if isinstance(outcome, Whole):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)
