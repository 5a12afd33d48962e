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

from modelyard_serving.app import Limits, ModelApp
from modelyard_serving.batching import Batcher
from modelyard_serving.errors import Unloadable
from modelyard_serving.loading import Load, load


class Options(msgspec.Struct, frozen=True):
    model_dir: Path
    token: str
    version: str = "0"
    host: str = "127.0.0.1"
    port: int = 0
    drain_s: float = 1.0
    """After SIGTERM: not ready, but still answering, for this long; then only what is in flight is finished."""
    graceful_s: float = 10.0
    limits: Limits = Limits()


class _Server(uvicorn.Server):
    """Leaves the signals to us: draining comes before the end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening address; OSError when it is taken."""
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
    """Serve until SIGTERM or SIGINT; the exit code. Prints `ready HOST:PORT` once warm."""
    app = ModelApp(options.token, options.limits)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(options.graceful_s),
    )
    server, stop = _Server(config), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    host, port = sock.getsockname()[:2]
    try:
        loaded = await asyncio.to_thread(load, options.model_dir, options.version, flavour_load)
    except Unloadable as error:
        print(f"cannot serve {options.model_dir}: {error}", file=sys.stderr)
        server.should_exit = True
        await running
        return 2
    limits = options.limits
    batcher = Batcher(
        loaded.predictor.predict, max_batch_rows=limits.max_batch_rows, max_waiting_rows=limits.max_waiting_rows
    )
    app.install(loaded, batcher)
    # One write: unbuffered, a log line could come between two.
    print(f"ready {host}:{port}\n", end="", flush=True)
    await stop.wait()
    app.draining = True
    await asyncio.sleep(options.drain_s)
    server.should_exit = True
    await running
    await asyncio.to_thread(batcher.close)
    return 0
