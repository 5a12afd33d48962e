"""The zygote's loop: wait for requests and for children to end, with one thread and the standard library only."""

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any

from modelyard_zygote import wire


@dataclass(frozen=True)
class Forked:
    """File descriptors of a child after the fork."""

    request: int
    stdout: int
    stderr: int


class Server:
    """Forks until its owner is gone, or until `idle_s` pass without a request and no awaited child is left."""

    def __init__(self, owner: socket.socket, idle_s: float) -> None:
        self._owner, self._idle_s = owner, idle_s
        self._awaited: set[int] = set()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def run(self) -> Forked | None:
        """Return in every child, with its file descriptors; and in the zygote, with None, when it is done."""
        asked_at = time.monotonic()
        while True:
            left_s = None if self._awaited else self._idle_s - (time.monotonic() - asked_at)
            if left_s is not None and left_s <= 0:
                return None
            ready, _, _ = select.select([self._owner.fileno(), self._woken], [], [], left_s)
            if self._woken in ready:
                self._reap()
            if self._owner.fileno() in ready:
                kind, fds = wire.receive(self._owner)
                if not kind:
                    return None
                if (child := self._fork(kind, fds)) is not None:
                    return child
                asked_at = time.monotonic()

    def _fork(self, kind: bytes, fds: list[int]) -> Forked | None:
        try:
            pid = os.fork()
        except OSError as error:
            self._send({"failed": str(error)})
            pid = -1
        if pid == 0:
            self._close_inherited()
            return Forked(*fds)
        for fd in fds:
            os.close(fd)
        if pid > 0:
            self._report_start(pid, kind)
        return None

    def _report_start(self, pid: int, kind: bytes) -> None:
        """Open the pidfd before the child can be reaped, so that it belongs to this child."""
        if kind == wire.SPAWN:
            self._awaited.add(pid)
        pidfd = os.pidfd_open(pid)
        try:
            self._send({"started": pid}, (pidfd,))
        finally:
            os.close(pidfd)

    def _reap(self) -> None:
        try:
            os.read(self._woken, 65_536)
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._awaited.discard(ended[0])
                self._send({"ended": ended[0], "code": os.waitstatus_to_exitcode(ended[1])})
        except (ChildProcessError, BlockingIOError):
            return

    def _send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        with contextlib.suppress(OSError):  # the owner is gone; the next read notices it
            wire.send(self._owner, message, fds)

    def _close_inherited(self) -> None:
        """In the child: close the zygote's descriptors and reset its signal handlers."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self._woken, self._wake):
            os.close(fd)
        self._owner.close()
