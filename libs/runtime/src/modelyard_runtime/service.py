"""Lifecycle of a service process: bind, start, work, report ready, stop in order. Takes any ASGI app."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from modelyard_runtime.errors import StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.log import configure_logging
from modelyard_runtime.tracing import configure_tracing
from modelyard_runtime.wakeup import pause

Background = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set; returning or failing earlier is a crash, after which it is restarted.

After MAX_CRASHES in a row the process ends."""
Hook = Callable[[], Awaitable[None]]

EXIT_FAILED: Final = 1
EXIT_CANNOT_START: Final = 2
BACKLOG: Final = 2_048
RESTART_MIN_S: Final = 0.5
RESTART_MAX_S: Final = 30.0
MAX_CRASHES: Final = 8
"""Crashes of a task in a row, over about a minute, after which the process ends: a new one may do better."""
KEEP_ALIVE_S: Final = 30
"""Callers close idle connections first: httpx after 5 s, aiohttp after 15 s. If both sides close at once a request is
lost, and uvicorn's default of 5 s lost some."""
log = logging.getLogger(__name__)


class ListensSomewhere(Protocol):
    """The settings that a service needs to listen."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def log_level(self) -> str: ...


class KeepsData(Protocol):
    """The settings that name a service's own folder."""

    @property
    def data_dir(self) -> Path: ...


SettingsT = TypeVar("SettingsT", bound=KeepsData)


def built(name: str, build: "Callable[[SettingsT], Service]", settings: SettingsT) -> "Service":
    """`build(settings)`; a folder or a setting that cannot be used exits with one line and code 2."""
    try:
        return build(settings)
    except StartupError as error:
        print(f"{name}: {error}", file=sys.stderr)
    except OSError as error:
        folder = error.filename or settings.data_dir
        print(
            f"{name}: {name.upper()}_DATA_DIR: cannot use {folder}: {error.strerror or error}; "
            "free disk space there, or use another folder",
            file=sys.stderr,
        )
    raise SystemExit(EXIT_CANNOT_START)


class Service:
    """One process of one service.

    Start: bind the port, `on_start`, background tasks, serve; `ready http://HOST:PORT` on stdout once ready.
    Stop (SIGTERM, SIGINT): readiness false, accept nothing new, finish requests, end background tasks, `on_stop`. A
    second signal exits at once. `on_stop` also runs when the start failed half way.
    Failure: if the HTTP server ends by itself, or a background task crashes again and again, the same orderly stop with
    exit code 1 and one line that names it.
    """

    def __init__(
        self,
        name: str,
        settings: ListensSomewhere,
        app: Any,
        background: Sequence[Background] = (),
        on_start: Hook | None = None,
        on_stop: Hook | None = None,
        readiness: Readiness | None = None,
        *,
        request_grace_s: float = 10.0,
        background_grace_s: float = 20.0,
        http: type[asyncio.Protocol] | None = None,
        restart_min_s: float = RESTART_MIN_S,
    ) -> None:
        """http: uvicorn's protocol of a connection, for a service with its own fast path (a GuardedProtocol)."""
        self.name = name
        self._settings = settings
        self.app = app
        self.background = tuple(background)
        """Tasks of the process, in the order they start."""
        self.on_start, self.on_stop = on_start, on_stop
        self._readiness = readiness or Readiness()
        self._request_grace_s, self.background_grace_s = request_grace_s, background_grace_s
        self._http, self._restart_min_s = http, restart_min_s
        self._failure = ""
        self._stop: asyncio.Event
        self._signals = 0

    def run(self) -> int:
        """Run until a signal; returns 0 after an orderly stop, 1 if a part of it failed, 2 if it cannot start.

        stderr has the reason.
        """
        configure_logging(self.name, self._settings.log_level)
        try:
            configure_tracing(self.name)
            with self._listening() as listener:
                return self._run(listener)
        except StartupError as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return EXIT_CANNOT_START

    def _run(self, listener: socket.socket) -> int:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._live(listener))

    @contextlib.contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        """Bind first, so that a port in use is found before migrations run and consumers join."""
        host, port = self._settings.host, self._settings.port
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            variable = f"{self.name.upper().replace('-', '_')}_PORT"
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartupError(
                f"cannot listen on {host}:{port}: {reason}; "
                f"stop the process that uses it, or set {variable} (0 takes any free port)"
            ) from error
        with listener:
            yield listener

    async def _live(self, listener: socket.socket) -> int:
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            if self.on_start is not None:
                await self.on_start()
            await self._work(listener)
        finally:
            if self.on_stop is not None:
                await self.on_stop()
        if self._failure:
            print(f"{self.name}: {self._failure}", file=sys.stderr)
            return EXIT_FAILED
        log.info("%s stopped", self.name)
        return 0

    def _fail(self, part: str, error: BaseException | None) -> None:
        """Stop the process because a part of it cannot go on; the first such part is reported."""
        reason = "it returned" if error is None else f"{type(error).__name__}: {error}"
        self._failure = self._failure or f"{part} ended: {reason}"
        log.critical("%s: %s", self.name, self._failure, exc_info=error)
        self._readiness.stop()
        self._stop.set()

    def _signalled(self) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(130)
        self._readiness.stop()
        self._stop.set()

    async def _work(self, listener: socket.socket) -> None:
        ending = asyncio.Event()
        server = _server(self.app, self._request_grace_s, self._http)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        tasks = [asyncio.create_task(self._keep_alive(work, ending)) for work in self.background]
        announcing = asyncio.create_task(self._announce(server, listener))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done() and not self._stop.is_set():
            self._fail("the HTTP server", None if serving.cancelled() else serving.exception())
        self._readiness.stop()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=self._request_grace_s + 5)
        ending.set()
        await self._ended(tasks)
        for task in (announcing, stopping, serving):
            task.cancel()
        await asyncio.gather(announcing, stopping, serving, return_exceptions=True)

    async def _ended(self, tasks: "Sequence[asyncio.Task[None]]") -> None:
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self.background_grace_s)
        for task in late:
            log.warning("%s: background task cancelled after %.0f s", self.name, self.background_grace_s)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_alive(self, work: Background, ending: asyncio.Event) -> None:
        """Run a background task; restart it after a growing delay if it ends early, and end the process in the end."""
        check = f"task {getattr(work, '__qualname__', repr(work))}"
        pause_s, crashes = self._restart_min_s, 0
        while not ending.is_set():
            began = asyncio.get_running_loop().time()
            try:
                await work(ending)
                error: Exception | None = None
            except Exception as crash:
                error = crash
            if ending.is_set():
                if error:
                    log.error("%s: %s failed while stopping", self.name, check, exc_info=error)
                return
            if asyncio.get_running_loop().time() - began > RESTART_MAX_S:
                pause_s, crashes = self._restart_min_s, 0
            crashes += 1
            if crashes >= MAX_CRASHES:
                self._fail(f"background {check}, {crashes} times in a row,", error)
                return
            log.error("%s: %s crashed, restarting it in %.1f s", self.name, check, pause_s, exc_info=error)
            self._readiness.set(check, False, "crashed; see the log")
            await pause(ending, pause_s)
            pause_s = min(pause_s * 2, RESTART_MAX_S)
            self._readiness.forget(check)

    async def _announce(self, server: Any, listener: socket.socket) -> None:
        while not (server.started and self._readiness.ready):  # noqa: ASYNC110  two plain flags, one of them uvicorn's
            await asyncio.sleep(0.02)
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        # One write: unbuffered, a log line could come between two.
        print(f"ready {address}\n", end="", flush=True)


def _server(app: Any, grace_s: float, http: Any) -> Any:
    import uvicorn

    from modelyard_runtime.connection import GuardedProtocol

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """The service handles signals and stops the server."""
            yield

    return Server(
        uvicorn.Config(
            app,
            http=http or GuardedProtocol,
            ws="none",
            loop="none",
            lifespan="auto",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(grace_s),
        )
    )
