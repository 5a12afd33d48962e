"""A server as a child process: started, waited for, stopped."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from modelyard_devstack.providers import ProviderError

POLL_S: Final = 0.05
TAIL_LINES: Final = 15


class Child:
    """A process whose output goes to a file. It has its own session: Ctrl-C reaches the supervisor alone."""

    def __init__(self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        """Raises ProviderError when the program cannot be started."""
        self._log = log
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own command line
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=None if environ is None else dict(environ),
                )
        except OSError as problem:
            raise ProviderError(f"cannot start {command[0]} with its log in {log}: {problem}") from problem

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, pattern: str, timeout_s: float, what: str) -> re.Match[str]:
        """The first line of output that matches. Raises ProviderError with the output's end; then it is stopped."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            if found := re.search(pattern, self._output(), re.MULTILINE):
                return found
            if ended:
                raise ProviderError(f"{what} ended with {self._process.returncode}: {self._tail()}")
            time.sleep(POLL_S)
        self.stop()
        raise ProviderError(f"{what} was not ready within {timeout_s:.0f} s: {self._tail()}")

    def wait(self, timeout_s: float, what: str) -> None:
        """Until it ends by itself. Raises ProviderError unless with 0."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise ProviderError(f"{what} took more than {timeout_s:.0f} s: {self._tail()}") from None
        if code:
            raise ProviderError(f"{what} ended with {code}: {self._tail()}")

    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self, timeout_s: float = 30.0) -> None:
        """SIGTERM, then SIGKILL. May be called again."""
        if self.running():
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _output(self) -> str:
        return self._log.read_text(errors="replace")

    def _tail(self) -> str:
        lines = [line for line in self._output().splitlines() if line.strip()]
        return "\n".join(lines[-TAIL_LINES:]) or "no output"
