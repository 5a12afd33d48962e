"""The broker inside a test's process, on its own thread and event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from types import TracebackType

from modelyard_devkafka.broker import Broker
from modelyard_devkafka.faults import Faults
from modelyard_devkafka.server import FRAME_TIMEOUT_S, Server

_START_SECONDS = 30.0


class DevKafka:
    """`with DevKafka(folder) as broker: ... broker.bootstrap`. Own loop, so a test may block its own."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        housekeeping_seconds: float = 10.0,
        frame_timeout_s: float = FRAME_TIMEOUT_S,
    ) -> None:
        self._data_dir, self._port, self._housekeeping_seconds = data_dir, port, housekeeping_seconds
        self._frame_timeout_s = frame_timeout_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="devkafka", daemon=True)
        self._broker: Broker | None = None
        self._server: Server | None = None
        self._clock: asyncio.Task[None] | None = None

    @property
    def broker(self) -> Broker:
        """The broker's state; use it only on its event loop (see `call`). Raises RuntimeError before the start."""
        if self._broker is None:
            raise RuntimeError("the broker is not started: use it in a with block")
        return self._broker

    @property
    def bootstrap(self) -> str:
        return f"{self.broker.host}:{self.broker.port}"

    @property
    def faults(self) -> Faults:
        return self.broker.faults

    def housekeep(self) -> None:
        """Run one round of retention and compaction now."""
        asyncio.run_coroutine_threadsafe(self.broker.housekeeping.round(), self._loop).result(_START_SECONDS)

    def __enter__(self) -> DevKafka:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_START_SECONDS)
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the broker; idempotent. The data stays in the folder."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_START_SECONDS)
            self._end_loop()

    async def _start(self) -> None:
        broker = Broker(self._data_dir, housekeeping_seconds=self._housekeeping_seconds)
        self._server = Server(broker, self._frame_timeout_s)
        try:
            await self._server.start("127.0.0.1", self._port)
        except BaseException:
            broker.close()
            raise
        self._broker, self._clock = broker, asyncio.create_task(broker.run())

    async def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
        if self._server is not None:
            await self._server.stop()
        self.broker.close()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_SECONDS)
        self._loop.close()
