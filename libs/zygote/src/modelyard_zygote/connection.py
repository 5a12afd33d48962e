"""One zygote process and the socket to it; a new one replaces it when it is gone."""

import contextlib
import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final

from modelyard_zygote import wire
from modelyard_zygote.handles import UNKNOWN_CODE, ForkedProcess

END_WITHIN_S: Final = 5.0
ANSWER_WITHIN_S: Final = 30.0
"""A fork takes milliseconds; a suspended zygote must not block its owner."""


class ZygoteGone(Exception):
    """The zygote died, was idle, or never started; the request had no effect."""


class Connection:
    """Thread-safe: one request at a time; each reader stores exit codes for all."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it; ZygoteGone with the reason if it cannot start. Call `await_ready` next."""
        self._lock = Lock()
        self._codes: dict[int, int] = {}
        self.gone = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                    [*command, "--owner-fd", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=dict(env),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                self._socket.close()
                raise ZygoteGone(str(error)) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def await_ready(self, timeout_s: float) -> dict[str, str]:
        """Wait for its imports; returns the errors by module. ZygoteGone if it does not start."""
        self._socket.settimeout(timeout_s)
        answer, _ = self._listen(block=True)
        self._socket.settimeout(ANSWER_WITHIN_S)
        if "failed" in answer:
            self.close()
            raise ZygoteGone(answer["failed"])
        missing: dict[str, str] = answer["ready"]
        return missing

    def spawn(self, kind: bytes, request: Mapping[str, Any], stdout: int, stderr: int) -> ForkedProcess:
        """Start a child. ZygoteGone if nothing was started; OSError if the system cannot create a process."""
        theirs, ours = os.pipe()
        try:
            with self._lock:
                pid, pidfd = self._ask(kind, (theirs, stdout, stderr))
        except BaseException:
            os.close(ours)  # unwritten: a child that was forked meanwhile ends
            raise
        finally:
            os.close(theirs)
        with contextlib.suppress(BrokenPipeError), os.fdopen(ours, "wb") as file:
            file.write(json.dumps(request).encode())  # broken: the child was killed already
        return ForkedProcess(pid, pidfd, self.code_of)

    def code_of(self, pid: int) -> int | None:
        """Exit code of a child that has ended."""
        with self._lock:
            self._listen(block=False)
            found = self._codes.pop(pid, None)
            return UNKNOWN_CODE if found is None and self.gone else found

    def alive(self) -> bool:
        with self._lock:
            self._listen(block=False)
            return not self.gone

    def abandon(self) -> None:
        """Kill it while another thread waits for it; that thread gets ZygoteGone."""
        self._process.kill()

    def close(self) -> None:
        """Close the socket, which ends the zygote; its children keep running."""
        with self._lock:
            self.gone = True
            self._socket.close()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, kind: bytes, fds: tuple[int, ...]) -> tuple[int, int]:
        try:
            socket.send_fds(self._socket, [kind], list(fds))
        except OSError as error:
            self._lost()
            raise ZygoteGone(str(error)) from error
        answer, fd = self._listen(block=True)
        if "failed" in answer:
            raise OSError(answer["failed"])
        return answer["started"], fd[0]

    def _listen(self, *, block: bool) -> tuple[dict[str, Any], list[int]]:
        """Read its messages; with `block`, until the answer to our request.

        ZygoteGone if that answer cannot come.
        """
        while not self.gone and (block or self._readable()):
            try:
                body, fds = wire.receive(self._socket)
            except OSError:  # reset, or a timeout
                body, fds = b"", []
            if not body:
                self._lost()
                break
            message = json.loads(body)
            if "ended" not in message:
                return message, fds
            self._codes[message["ended"]] = message["code"]
        if block:
            raise ZygoteGone(f"it ended with {self._process.poll()}")
        return {}, []

    def _readable(self) -> bool:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(0))

    def _lost(self) -> None:
        """Mark it as gone and kill it, so that two zygotes never work for one owner."""
        self.gone = True
        self._socket.close()
        self._process.kill()
        deadline = time.monotonic() + END_WITHIN_S
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
