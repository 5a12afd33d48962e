"""`python -m modelyard_devkafka --port P --data DIR`: run the broker until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import sys
from pathlib import Path

from modelyard_devkafka.broker import Broker
from modelyard_devkafka.errors import BrokerError
from modelyard_devkafka.server import Server


def main() -> int:
    """Exit code 0 after SIGTERM or Ctrl-C; 2, with one line on stderr, if the broker cannot start."""
    options = _options()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    _allow_many_files()
    try:
        asyncio.run(_run(options.host, options.port, options.data))
    except BrokerError as problem:
        print(f"modelyard_devkafka: {problem}", file=sys.stderr)
        return 2
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelyard_devkafka", description=__doc__)
    parser.add_argument("--port", type=int, default=9092, help="port; 0 takes a free one (default 9092)")
    parser.add_argument("--data", type=Path, required=True, help="folder for everything the broker keeps")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address (default 127.0.0.1)")
    return parser.parse_args()


def _allow_many_files() -> None:
    """Each partition being written has one open file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(host: str, port: int, data: Path) -> None:
    broker = Broker(data)
    server = Server(broker)
    try:
        await server.start(host, port)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        clock = asyncio.create_task(broker.run())
        clock.add_done_callback(lambda _: stop.set())
        # A single write, so that no log line can split it: stdout is unbuffered.
        print(f"ready {broker.host}:{broker.port}\n", end="", flush=True)
        await stop.wait()
        clock.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await clock
    finally:
        await server.stop()
        broker.close()


if __name__ == "__main__":
    sys.exit(main())
