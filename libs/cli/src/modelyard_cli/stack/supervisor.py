"""The supervisor: starts every process of a local stack, restarts processes that die, stops all in reverse.

It is the only parent of them. It owns no data: killed -9, it leaves its children running, and the next `up` or `down`
in the same folder finds them in the state file and ends them first.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from modelyard_cli.context import kafka_of_environment
from modelyard_cli.stack.child import Child, complain
from modelyard_cli.stack.layout import PROCESSES, Addresses, Layout, StackError
from modelyard_cli.stack.locks import sole_holder
from modelyard_cli.stack.state import State, end_orphans, end_processes, find, identify, write_state
from modelyard_devstack.providers import ProviderError
from modelyard_devstack.providers.clickhouse import RunningClickHouse, start_clickhouse
from modelyard_devstack.providers.kafka import RunningKafka, start_kafka

LOOK_EVERY_S: Final = 0.25
STOP_GRACE_S: Final = 15.0
SERVER_PAUSE_S: Final = 1.0
"""Before the next try to bring back a server that did not start."""


class Server(Protocol):
    """A broker or a ClickHouse: given, in Docker, or a child of ours."""

    provider: Any
    pid: int | None

    def stop(self) -> None: ...


class Supervisor:
    """Holds the processes of one stack; `run` returns after `stop`."""

    def __init__(self, layout: Layout, ports: dict[str, int]) -> None:
        self._layout = layout
        self._ports = ports
        self._stop = threading.Event()
        self._kafka: RunningKafka | None = None
        self._clickhouse: RunningClickHouse | None = None
        self._children: list[Child] = []
        self._began = time.monotonic()
        self._ready_after_s: float | None = None
        self._cannot_report = False

    def stop(self, *_: object) -> None:
        self._stop.set()

    def run(self) -> None:
        try:
            addresses = self._start_servers()
            self._children = [Child(spec, self._layout, addresses) for spec in PROCESSES]
            for child in self._children:
                child.start()
            while not self._stop.wait(LOOK_EVERY_S):
                self._look()
        finally:
            self._stop_all()

    def _start_servers(self) -> Addresses:
        self._report(phase="starting the broker")
        self._kafka = start_kafka(self._layout.data("kafka"), self._ports["kafka"])
        if self._kafka.provider == "given":
            check_kafka()
        self._report(phase="starting ClickHouse")
        self._clickhouse = start_clickhouse(self._layout.data("clickhouse"), self._ports["clickhouse"])
        self._report(phase="starting services")
        return Addresses(
            kafka_bootstrap=self._kafka.bootstrap,
            kafka_given=self._kafka.provider == "given",
            clickhouse_url=self._clickhouse.url,
            clickhouse_database=self._clickhouse.database,
            clickhouse_writer=self._clickhouse.writer,
            clickhouse_reader=self._clickhouse.reader,
            ports=self._ports,
        )

    def _look(self) -> None:
        self._revive_servers()
        for child in self._children:
            child.look()
        ready = all(child.ready for child in self._children)
        if ready and self._ready_after_s is None:
            self._ready_after_s = round(time.monotonic() - self._began, 2)
        self._report(phase="ready" if ready else "starting services" if self._ready_after_s is None else "degraded")

    def _revive_servers(self) -> None:
        """A development server that was killed comes back on its port, with its data; when it cannot, again later."""
        try:
            if self._kafka and _is_dead(self._kafka.pid):
                self._kafka = start_kafka(self._layout.data("kafka"), self._ports["kafka"])
            if self._clickhouse and _is_dead(self._clickhouse.pid):
                self._clickhouse = start_clickhouse(self._layout.data("clickhouse"), self._ports["clickhouse"])
        except (ProviderError, OSError) as error:
            complain(f"{error}; trying again")
            self._stop.wait(SERVER_PAUSE_S)

    def _report(self, phase: str) -> None:
        kafka, clickhouse = self._kafka, self._clickhouse
        state = {
            "phase": phase,
            "supervisor": identify(os.getpid()),
            "ready_after_s": self._ready_after_s,
            "services": {child.spec.name: child.describe() for child in self._children},
            "kafka": kafka and {"bootstrap": kafka.bootstrap, "provider": kafka.provider, "pid": kafka.pid},
            "clickhouse": clickhouse and _describe_clickhouse(clickhouse),
            "schema_registry": {"url": f"http://127.0.0.1:{self._ports['registry']}"},
            "admin_key_file": str(self._layout.admin_key_file.resolve()),
            "processes": [identify(pid) for pid in self._pids() if not _is_dead(pid)],
        }
        try:
            write_state(self._layout, state)
        except OSError as error:  # a full disk: the last state stays, the processes keep running
            if not self._cannot_report:
                complain(f"{self._layout.state_file}: {error.strerror}; free disk space there")
            self._cannot_report = True
        else:
            self._cannot_report = False

    def _pids(self) -> Iterator[int]:
        for server in (self._kafka, self._clickhouse):
            if server and server.pid:
                yield server.pid
        for child in self._children:
            if child.process:
                yield child.process.pid

    def _stop_all(self) -> None:
        """Services first, all at once: each has its own grace; then what they spoke to."""
        running = [child.process for child in self._children if child.process and child.process.poll() is None]
        families = [found for process in running if (found := find(identify(process.pid)))]
        end_processes(families, STOP_GRACE_S)
        for server in (self._clickhouse, self._kafka):
            if server:
                server.stop()
        self._layout.state_file.unlink(missing_ok=True)


def check_kafka() -> None:
    """Connect to the Kafka that the environment names; StackError states why it refuses."""
    from modelyard_runtime.errors import ModelyardError
    from modelyard_runtime.kafka.topics import create_topics

    try:
        asyncio.run(create_topics(kafka_of_environment(), {}))
    except ModelyardError as error:
        raise StackError(str(error)) from error


def _is_dead(pid: int | None) -> bool:
    if pid is None:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not Path(f"/proc/{pid}").exists() if Path("/proc/self").exists() else not _signalable(pid)


def _signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _describe_clickhouse(server: RunningClickHouse) -> State:
    return {
        "url": server.url,
        "database": server.database,
        "reader": {"user": server.reader.user, "password": server.reader.password},
        "provider": server.provider,
        "pid": server.pid,
    }


def sole_owner(layout: Layout) -> AbstractContextManager[None]:
    """Hold the folder's lock; StackError when another supervisor has it."""
    busy = f"a stack already runs in {layout.root}; see `modelyard status`, end it by `modelyard down`"
    return sole_holder(layout.lock_file, busy)


def main() -> int:
    """Run until SIGTERM or SIGINT. Arguments: the folder, and the ports as JSON."""
    parser = argparse.ArgumentParser(prog="modelyard_cli.stack.supervisor")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--ports", type=json.loads, required=True)
    arguments = parser.parse_args()
    layout = Layout(arguments.data_dir)
    try:
        layout.prepare()
        with sole_owner(layout):
            end_orphans(layout)
            supervisor = Supervisor(layout, arguments.ports)
            signal.signal(signal.SIGTERM, supervisor.stop)
            signal.signal(signal.SIGINT, supervisor.stop)
            supervisor.run()
    except (StackError, ProviderError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
