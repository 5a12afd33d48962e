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

    model_dir: Path
    tokens: Tokens
    version: str = "0"
    digest: str | None = None
    """The manifest's digest that must be served; None takes the manifest in the folder."""
    drain_s: float = 1.0
    """After SIGTERM: not ready, but still answering, for this long; then only requests in flight are finished."""
    graceful_s: float = 10.0
    limits: Limits = Limits()


class _Server(uvicorn.Server):
    """Leaves signals to `serve`, which drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; OSError if it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


async def serve(options: Options, sock: socket.socket, flavour_load: Load | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Prints `ready HOST:PORT` once warm."""
    app = ModelApp(options.tokens, options.limits)
    server, stop = _server(app, options.graceful_s), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    host, port = sock.getsockname()[:2]
    try:
        model = await asyncio.to_thread(load, options.model_dir, options.version, flavour_load, digest=options.digest)
    except Unloadable as error:
        print(f"cannot serve {options.model_dir}: {error}", file=sys.stderr)
        server.should_exit = True
        await running
        return 2
    app.install(model)
    print(f"ready {host}:{port}\n", end="", flush=True)  # one write, so that no log line comes between
    await stop.wait()
    app.draining = True
    await asyncio.sleep(options.drain_s)
    server.should_exit = True
    await running
    await asyncio.to_thread(app.close, options.graceful_s)
    return 0


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
