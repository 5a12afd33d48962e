"""A started process, as its owner sees it."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final, Protocol

UNKNOWN_CODE: Final = -256
"""Exit code of a child that ended after its zygote was gone; no signal has this number."""
POLL_S: Final = 0.02


class Handle(Protocol):
    """The part of `subprocess.Popen` that both kinds of processes have."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Its exit code (negative: minus the signal), None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code once it has ended; subprocess.TimeoutExpired after `timeout` seconds."""

    def kill(self) -> None:
        """Send SIGKILL; no effect after it has ended."""


class ForkedProcess:
    """A child of the zygote, held by its pidfd: a process id can be reused, the descriptor cannot.

    code_of: pid to exit code; None until the zygote reported it, UNKNOWN_CODE if it no longer can.
    """

    def __init__(self, pid: int, pidfd: int, code_of: Callable[[int], int | None]) -> None:
        self._pid, self._pidfd, self._code_of = pid, pidfd, code_of
        self._code: int | None = None

    @property
    def pid(self) -> int:
        return self._pid

    def poll(self) -> int | None:
        if self._code is None and self._ended():
            self._code = self._code_of(self._pid)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left_s = None if until is None else until - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise subprocess.TimeoutExpired(f"process {self._pid}", timeout or 0.0)
            if self._ended(left_s):
                time.sleep(POLL_S)  # ended; the zygote reports the code in a moment
        return code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _ended(self, within_s: float | None = 0.0) -> bool:
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(None if within_s is None else within_s * 1000))

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._pidfd)
