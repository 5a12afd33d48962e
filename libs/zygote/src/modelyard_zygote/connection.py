"""One zygote process and the socket to it; a new one takes its place when it is gone."""

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
"""A fork takes milliseconds; a zygote that somebody has stopped must not stop its owner."""


class ZygoteGone(Exception):
    """It died, ended for want of work, or never began; what was asked for was not started."""


class Connection:
    """Thread-safe: one request at a time, and whoever listens writes down for all."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it; ZygoteGone, with the reason, when it cannot be. Then `await_ready`."""
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
        """Wait until it has imported; what it could not, and why. ZygoteGone when it does not come up."""
        self._socket.settimeout(timeout_s)
        told, _ = self._listen(block=True)
        self._socket.settimeout(ANSWER_WITHIN_S)
        if "failed" in told:
            self.close()
            raise ZygoteGone(told["failed"])
        missing: dict[str, str] = told["ready"]
        return missing

    def spawn(self, kind: bytes, request: Mapping[str, Any], stdout: int, stderr: int) -> ForkedProcess:
        """ZygoteGone when nothing was started; OSError when the system has no room for one more process."""
        theirs, ours = os.pipe()
        try:
            with self._lock:
                pid, pidfd = self._ask(kind, (theirs, stdout, stderr))
        except BaseException:
            os.close(ours)  # unwritten: what may have been forked meanwhile ends
            raise
        finally:
            os.close(theirs)
        with contextlib.suppress(BrokenPipeError), os.fdopen(ours, "wb") as file:
            file.write(json.dumps(request).encode())  # broken: it was killed already, and its handle will say so
        return ForkedProcess(pid, pidfd, self.code_of)

    def code_of(self, pid: int) -> int | None:
        """Of a child that has ended."""
        with self._lock:
            self._listen(block=False)
            found = self._codes.pop(pid, None)
            return UNKNOWN_CODE if found is None and self.gone else found

    def alive(self) -> bool:
        with self._lock:
            self._listen(block=False)
            return not self.gone

    def abandon(self) -> None:
        """While another thread waits for it: that one is told that it is gone."""
        self._process.kill()

    def close(self) -> None:
        """The end of the socket is the end of the zygote; its children live on."""
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
        told, fd = self._listen(block=True)
        if "failed" in told:
            raise OSError(told["failed"])
        return told["started"], fd[0]

    def _listen(self, *, block: bool) -> tuple[dict[str, Any], list[int]]:
        """Take in what it has said; with `block`, up to the answer to our request.

        ZygoteGone when that answer will not come.
        """
        while not self.gone and (block or self._has_said()):
            try:
                body, fds = wire.receive(self._socket)
            except OSError:  # reset, or no word in time
                body, fds = b"", []
            if not body:
                self._lost()
                break
            told = json.loads(body)
            if "ended" not in told:
                return told, fds
            self._codes[told["ended"]] = told["code"]
        if block:
            raise ZygoteGone(f"it ended with {self._process.poll()}")
        return {}, []

    def _has_said(self) -> bool:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(0))

    def _lost(self) -> None:
        """It is of no more use; whatever is left of it is ended, so that two never work for one owner."""
        self.gone = True
        self._socket.close()
        self._process.kill()
        deadline = time.monotonic() + END_WITHIN_S
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
