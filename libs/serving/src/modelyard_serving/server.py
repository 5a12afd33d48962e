"""The life of a model server: bind, load, warm up, serve, drain."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvicorn

from modelyard_runtime.connection import GuardedProtocol
from modelyard_serving.app import ModelApp
from modelyard_serving.errors import Unloadable
from modelyard_serving.loading import Load, load
from modelyard_serving.requests import Limits
from modelyard_serving.tokens import Tokens


class Options(msgspec.Struct, frozen=True):
    """Options of one server."""

    model_dir: Path | None
    """Folder of the only version; None where `members` lists several."""
    tokens: Tokens
    version: str = "0"
    digest: str | None = None
    """The manifest's digest that must be served; None takes the manifest in the folder."""
    drain_s: float = 1.0
    """After SIGTERM: not ready, but still answering, for this long; then only requests in flight are finished."""
    graceful_s: float = 10.0
    limits: Limits = Limits()
    members: Path | None = None
    """File that lists the versions which share the server; see `members.py`."""


class _Server(uvicorn.Server):
    """Leaves signals to `serve`, which drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket that already listens when the address is reported; OSError if the address is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


async def serve(options: Options, sock: socket.socket, flavour_load: Load | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Prints `ready HOST:PORT` once it answers."""
    app = ModelApp(options.tokens, options.limits)
    server, stop = _server(app, options.graceful_s), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    host, port = sock.getsockname()[:2]
    try:
        await _load(app, options, flavour_load)
    except Unloadable as error:
        print(f"cannot serve {options.members or options.model_dir}: {error}", file=sys.stderr)
        server.should_exit = True
        await running
        return 2
    print(f"ready {host}:{port}\n", end="", flush=True)  # one write, so that no log line comes between
    await stop.wait()
    app.draining = True
    await asyncio.sleep(options.drain_s)
    server.should_exit = True
    await running
    await asyncio.to_thread(app.close, options.graceful_s)
    return 0


async def _load(app: ModelApp, options: Options, flavour_load: Load | None) -> None:
    """Install the only version once it is warm, or begin to load those of a file."""
    if options.members is not None:
        app.share(options.members, flavour_load)
    elif options.model_dir is not None:
        version, digest = options.version, options.digest
        app.install(await asyncio.to_thread(load, options.model_dir, version, flavour_load, digest=digest))


def _server(app: ModelApp, graceful_s: float) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(graceful_s),
        )
    )
