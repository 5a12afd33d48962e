"""From settings to a running server: walls first, then the engine, then HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn

from modelyard_confine import NotRestricted
from modelyard_devclickhouse.app import KEEP_ALIVE_S, App
from modelyard_devclickhouse.config import (
    CannotStart,
    Passwords,
    Settings,
    bind,
    prepare_default_database,
    write_engine_config,
)
from modelyard_devclickhouse.confine import confine, described
from modelyard_devclickhouse.engine import Engine
from modelyard_devclickhouse.tokens import forget_uncommitted
from modelyard_runtime.connection import GuardedProtocol


def run(settings: Settings, passwords: Passwords) -> None:
    """Serve until a signal; the caller holds the folder's lock. Raises CannotStart."""
    listener = bind(settings.host, settings.port)
    config = write_engine_config(settings)
    _prepare_folder(settings)
    walls = _raise_walls(settings.data)
    with ThreadPoolExecutor(1) as opener:  # within the sandbox the engine cannot measure the first thread's stack
        engine = opener.submit(open_engine, settings, config).result()
    asyncio.run(_serve(engine, settings, passwords, listener, walls))


def _prepare_folder(settings: Settings) -> None:
    engine = settings.data / "engine"
    if forgotten := forget_uncommitted(engine):
        print(f"{forgotten} insert tokens without a part forgotten, left by a kill", file=sys.stderr)
    prepare_default_database(engine)


def _raise_walls(data: Path) -> list[str]:
    # The engine loads a config.xml from the working directory, so use a folder of our own.
    os.chdir(data / "work")
    os.environ["TZ"] = "UTC"
    os.environ["TMPDIR"] = tempfile.tempdir = str(data / "spool")
    _http(_no_app).load()  # imports what it needs
    try:
        walls = confine(data)
    except ImportError as error:
        raise _no_engine(error) from error
    except NotRestricted as error:
        raise CannotStart(f"the engine's process cannot be confined to {data}: {error}") from error
    return walls


def open_engine(settings: Settings, config: Path) -> Engine:
    """Raises CannotStart."""
    try:
        return Engine(settings.data / "engine", config, settings.database)
    except ImportError as error:
        raise _no_engine(error) from error
    except (RuntimeError, OSError) as error:
        raise CannotStart(f"the engine cannot open {settings.data / 'engine'}: {error}") from error


def _no_engine(error: ImportError) -> CannotStart:
    return CannotStart(
        f"the engine's package {error.name} cannot be imported ({error}); "
        "pip install modelyard-devclickhouse, which brings it, or set CLICKHOUSE_URL to a ClickHouse of yours"
    )


class _Server(uvicorn.Server):
    """Print the ready line, once the engine has answered its first query, and the walls that stand."""

    walls: Sequence[str] = ()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal; uvicorn would raise it again afterwards, which would end the process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, setattr, self, "should_exit", True)
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            # A single write, so that no log line can split it: stdout is unbuffered.
            print(f"ready {host}:{port}\n", end="", flush=True)
        print(described(self.walls), file=sys.stderr)


async def _serve(engine: Engine, settings: Settings, passwords: Passwords, listener: socket, walls: list[str]) -> None:
    app = App(engine, passwords, settings.data / "spool", settings.connections, walls)
    server = _Server(_http(app))
    server.walls = walls
    await server.serve(sockets=[listener])


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    """Hold the place of the app while the server's modules are imported."""


def _http(app: Any) -> uvicorn.Config:
    # It logs each deliberately aborted response as an application error.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the answer names what is wrong with the form
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        backlog=512,
    )
