"""Subprocesses that print `ready ...`."""

import asyncio
import contextlib
import inspect
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from modelyard_devstack.ports import free_port

READY: Final = re.compile(r"^ready\s+(\S+)")
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
LAST_WORDS_TIMEOUT_S: Final = 5.0
"""An orphan of the process may keep its output open."""


def wait_until(predicate: Callable[[], Any], timeout_s: float = 30.0, *, every_s: float = 0.05, what: str = "") -> Any:
    """The first true answer of `predicate`; AssertionError after timeout_s. Blocks: in async tests use `eventually`."""
    deadline = time.monotonic() + timeout_s
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or predicate}")
        time.sleep(every_s)
    return answer


def stays(predicate: Callable[[], Any], for_s: float, *, every_s: float = 0.1, what: str = "") -> None:
    """AssertionError as soon as `predicate` is false within for_s. Blocks: in async tests use `remains`."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert predicate(), f"did not stay true for {for_s} s: {what or predicate}"  # noqa: S101
        time.sleep(every_s)


async def remains(predicate: Callable[[], Any], for_s: float, *, what: str = "") -> None:
    """Like `stays`, for async tests: `predicate` may be a coroutine function."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        assert answer, f"did not stay true for {for_s} s: {what or predicate}"  # noqa: S101
        await asyncio.sleep(0.1)


async def eventually(predicate: Callable[[], Any], timeout_s: float = 30.0, *, what: str = "") -> Any:
    """wait_until for async tests: `predicate` may be a coroutine function."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or predicate}")
        await asyncio.sleep(0.05)


class Process:
    """A subprocess; its output is collected, and it ends with the test."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._child: subprocess.Popen[str] | None = None
        self.lines: list[str] = []
        """stdout and stderr so far."""

    def start(self, *, ready: bool = True, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start it; with `ready` wait for its `ready` line. Starting again after a kill is allowed."""
        self._ready: queue.Queue[str | None] = queue.Queue()
        self._child = subprocess.Popen(  # noqa: S603  the tests say what to run
            self._command,
            env=self._env,
            cwd=self._cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._collecting = threading.Thread(target=self._collect, args=(self._child, self._ready), daemon=True)
        self._collecting.start()
        if ready:
            self.wait_ready(timeout_s)
        return self

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> str:
        """The text after `ready`; AssertionError with the output if it ends or takes too long."""
        try:
            self.address: str | None = self._ready.get(timeout=timeout_s)
        except queue.Empty:
            self.address = None
        if self.address is None:
            self.kill()
            self._collecting.join(LAST_WORDS_TIMEOUT_S)
            raise AssertionError(f"{self._command} was not ready:\n" + "\n".join(self.lines[-60:]))
        return self.address

    @property
    def pid(self) -> int:
        assert self._child is not None, "not started"  # noqa: S101
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, with all its children."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM and wait; its exit code (negative: killed after timeout_s), once all output is collected."""
        assert self._child is not None, "not started"  # noqa: S101
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout_s)
        self.kill()
        self._collecting.join(LAST_WORDS_TIMEOUT_S)
        return int(self._child.returncode)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Its exit code, once it has ended by itself and all output is collected."""
        assert self._child is not None, "not started"  # noqa: S101
        code = self._child.wait(timeout_s)
        self._collecting.join(LAST_WORDS_TIMEOUT_S)
        return code

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def _collect(self, child: "subprocess.Popen[str]", ready: "queue.Queue[str | None]") -> None:
        assert child.stdout is not None  # noqa: S101
        for line in child.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := READY.match(line):
                ready.put(found[1])
        ready.put(None)


class DevServer(Process):
    """A local server on a fixed port and folder, so that it can be killed and started again."""

    def __init__(self, module: str, data: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        command = [sys.executable, "-m", module, "--port", str(self.port), "--data", str(data), *options]
        super().__init__(command)

    @property
    def bootstrap(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def run_service(
    module: str, env: Mapping[str, str], *, ready: bool = True, timeout_s: float = START_TIMEOUT_S
) -> Iterator[Process]:
    """`python -m module` with `env` added; `.address` is its URL once ready. Killed at the end if it still runs."""
    process = Process([sys.executable, "-m", module], env)
    try:
        yield process.start(ready=ready, timeout_s=timeout_s)
    finally:
        if process.running:
            process.stop()
