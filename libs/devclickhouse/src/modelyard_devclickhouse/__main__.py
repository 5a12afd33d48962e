"""python -m modelyard_devclickhouse --port P --data DIR: one process, one data folder, one port."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from socket import socket

import uvicorn

from modelyard_devclickhouse.app import KEEP_ALIVE_S, App
from modelyard_devclickhouse.config import (
    MIB,
    CannotStart,
    Passwords,
    Settings,
    bind,
    lock_folder,
    write_engine_config,
)
from modelyard_devclickhouse.engine import Engine
from modelyard_devclickhouse.tokens import forget_uncommitted


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; exit code 0 after a clean stop, 2 if the server cannot start."""
    arguments = _parser().parse_args(argv)
    settings = Settings(
        data=arguments.data.resolve(),
        host=arguments.host,
        port=arguments.port,
        database=arguments.database,
        fsync=arguments.fsync,
        query_log=arguments.query_log,
        max_memory_bytes=arguments.max_memory_mib * MIB,
    )
    try:
        lock = lock_folder(settings.data)
        passwords = Passwords.read(os.environ, arguments.passwords_file, settings.data)
        listener = bind(settings.host, settings.port)
        engine = _open(settings)
    except CannotStart as error:
        print(f"modelyard_devclickhouse: {error}", file=sys.stderr)
        return 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard)
    )  # parts and pipes need many file descriptors
    with lock:
        asyncio.run(_serve(engine, settings, passwords, listener))
    return 0


def _open(settings: Settings) -> Engine:
    # The engine loads a config.xml from the working directory, so use a folder of our own.
    config = write_engine_config(settings)
    os.environ["TZ"] = "UTC"
    os.chdir(settings.data / "work")
    try:
        if forgotten := forget_uncommitted(settings.data / "engine"):
            print(f"{forgotten} insert tokens without a part forgotten, left by a kill", file=sys.stderr)
        return Engine(settings.data / "engine", config, settings.database)
    except ImportError as error:
        raise CannotStart(
            f"the engine's package {error.name} cannot be imported ({error}); "
            "pip install modelyard-devclickhouse, which brings it, or set CLICKHOUSE_URL to a ClickHouse of yours"
        ) from error
    except (RuntimeError, OSError) as error:
        raise CannotStart(f"the engine cannot open {settings.data / 'engine'}: {error}") from error


class _Server(uvicorn.Server):
    """Print the ready line, once the engine has answered its first query."""

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


async def _serve(engine: Engine, settings: Settings, passwords: Passwords, listener: socket) -> None:
    app = App(engine, passwords, settings.data / "spool", settings.connections)
    # It logs each deliberately aborted response as an application error.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        backlog=512,
    )
    server = _Server(config)
    await server.serve(sockets=[listener])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelyard_devclickhouse", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder that this process alone owns")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--database", default="ml", help="database made at the start and used by default")
    parser.add_argument("--passwords-file", type=Path, help='JSON {"writer": ..., "reader": ...}')
    parser.add_argument("--fsync", action="store_true", help="survive power loss, at half the insert speed")
    parser.add_argument("--query-log", action="store_true", help="keep system.query_log for three days")
    parser.add_argument("--max-memory-mib", type=int, default=4096, help="memory the engine may use (default 4096)")
    return parser


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # some idle threads of the engine never exit
