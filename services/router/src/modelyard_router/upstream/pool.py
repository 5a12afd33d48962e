"""The connections to one replica: reused, bounded, and avoided for a while after a failure."""

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final

from modelyard_router.upstream.connection import CallFailed, CallTimedOut, Connection, Done, Known, Reply

AVOID_MIN_S: Final = 0.25
AVOID_MAX_S: Final = 5.0


@dataclass(frozen=True)
class PoolLimits:
    max_connections: int = 64
    """Per replica; more requests wait for one, within their deadline."""
    connect_timeout_s: float = 1.0
    idle_s: float = 30.0
    """Below the keep-alive of the model server (75 s), so that a reused connection is rarely a closed one."""


class Pool:
    """Calls one replica. For one event loop."""

    def __init__(self, host: str, port: int, limits: PoolLimits) -> None:
        self.host, self.port, self._limits = host, port, limits
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._avoid_s = 0.0
        self._avoid_until = 0.0
        self._retired = False
        self.heads: dict[bytes, Known] = {}
        """Heads of answers that its connections have parsed."""
        self.in_flight = 0

    @property
    def avoided(self) -> bool:
        """It failed a moment ago: ask it last."""
        return self._avoid_until > self._loop.time()

    async def call(self, data: bytes, deadline: float) -> Reply:
        """One request, one answer. A kept connection found closed is replaced once, if nothing was answered on it."""
        self.in_flight += 1
        try:
            connection = self._reusable() or await self._fresh(deadline)
            reused = connection.used
            try:
                reply = await self._exchange(connection, data, deadline)
            except CallFailed as error:
                if not reused or error.answered or isinstance(error, CallTimedOut):
                    raise
                self._drop_idle()  # what closed this one has most likely closed them all
                reply = await self._exchange(await self._fresh(deadline), data, deadline)
            self._avoid_s = self._avoid_until = 0.0
            return reply
        except CallFailed as error:
            if not isinstance(error, CallTimedOut):
                self._avoid()
            raise
        finally:
            self.in_flight -= 1

    def try_send(self, data: bytes, deadline: float, done: Done) -> bool:
        """Send on a connection that is idle now, if there is one; then `done` must tell `told` what it was told."""
        connection = self._reusable()
        if connection is None:
            return False
        self.in_flight += 1
        connection.send(data, deadline, done)
        return True

    def told(self, outcome: Reply | CallFailed) -> bool:
        """The end of a `try_send`; False: a kept connection was found closed, which is no attempt: `call` instead."""
        self.in_flight -= 1
        if isinstance(outcome, Reply):
            self._avoid_s = self._avoid_until = 0.0
        elif not isinstance(outcome, CallTimedOut):
            if not outcome.answered:
                self._drop_idle()
                return False
            self._avoid()
        return True

    async def _exchange(self, connection: Connection, data: bytes, deadline: float) -> Reply:
        answer: asyncio.Future[Reply] = self._loop.create_future()
        connection.send(data, deadline, partial(_tell, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            connection.close()
            raise

    def _reusable(self) -> Connection | None:
        oldest = self._loop.time() - self._limits.idle_s
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    async def _fresh(self, deadline: float) -> Connection:
        """A new connection, or one that becomes free, whichever the limit allows."""
        while len(self._open) + self._opening >= self._limits.max_connections:
            await self._wait(deadline)
            if connection := self._reusable():
                return connection
        self._opening += 1
        try:
            async with asyncio.timeout(min(self._limits.connect_timeout_s, deadline - self._loop.time())):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self, self._loop), self.host, self.port
                )
        except TimeoutError as error:
            raise CallFailed("connect_timeout", f"{self.host}:{self.port} does not accept connections") from error
        except OSError as error:
            raise CallFailed("connect", f"{self.host}:{self.port}: {error.strerror or error}") from error
        finally:
            self._opening -= 1
        self._open.add(connection)
        return connection

    async def _wait(self, deadline: float) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(deadline - self._loop.time()):
                await turn
        except TimeoutError as error:
            raise CallTimedOut(f"all {self._limits.max_connections} connections are in use") from error
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def free(self, connection: Connection) -> None:
        """Its answer is complete."""
        if connection.closed or self._retired:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._waiting:
            self._wake()

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _avoid(self) -> None:
        self._avoid_s = min(max(self._avoid_s * 2, AVOID_MIN_S), AVOID_MAX_S)
        self._avoid_until = self._loop.time() + self._avoid_s

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def retire(self) -> None:
        """No table names it any more: close what is idle now, the rest when it is answered."""
        self._retired = True
        self._drop_idle()

    def close(self) -> None:
        self.retire()
        for connection in list(self._open):
            connection.close()


def _tell(answer: "asyncio.Future[Reply]", outcome: Reply | CallFailed) -> None:
    if answer.done():  # nobody waits any more
        return
    if isinstance(outcome, Reply):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)
