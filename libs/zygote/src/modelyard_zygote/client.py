"""The owner's side: `Zygote.spawn` instead of `subprocess.Popen([python, "-m", module])`."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Final

from modelyard_zygote import wire
from modelyard_zygote.connection import Connection, ZygoteGone
from modelyard_zygote.handles import Handle

ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Settings that keep numeric libraries from starting threads: a process with threads must not fork."""
RETRY_S: Final = 60.0
"""Delay after a zygote that could not start; plain processes are started meanwhile."""
log = logging.getLogger(__name__)


class Zygote:
    """Starts Python modules as processes, forked from a parent that has imported `preload`. Thread-safe.

    The parent starts at the first use, ends after `idle_s` seconds without one (not while it is waited for a child),
    and with us; a dead one is started anew. 0 for `idle_s`: plain processes, always.
    env: the parent's whole environment, None for ours. Libraries read some variables only when they are loaded, so
    these are the parent's, not the child's; ONE_THREAD is always among them. Modules are found by the parent's path.
    """

    def __init__(
        self,
        preload: Sequence[str],
        *,
        idle_s: float = 120.0,
        env: Mapping[str, str] | None = None,
        python: Sequence[str] = (sys.executable,),
        start_timeout_s: float = 60.0,
    ) -> None:
        self._preload, self._idle_s, self._python = tuple(preload), idle_s, tuple(python)
        self._env = {**(os.environ if env is None else env), **ONE_THREAD}
        self._start_timeout_s = start_timeout_s
        self._usable = idle_s > 0 and sys.platform == "linux" and hasattr(os, "pidfd_open")
        self._lock = Lock()
        self._connection: Connection | None = None
        self._starting: Connection | None = None
        self._not_before = 0.0
        self._closed = False

    def spawn(
        self,
        module: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        cwd: Path | None = None,
        detached: bool = False,
    ) -> Handle:
        """`python -m module *argv` in a session of its own, with `env` as its whole environment.

        OSError if it cannot start. The first call waits for the parent's imports. detached: the parent may end before
        the child; the exit code is UNKNOWN_CODE then.
        """
        request = {"module": module, "argv": list(argv), "env": dict(env), "cwd": str(cwd or Path.cwd())}
        kind = wire.DETACHED if detached else wire.SPAWN
        for _ in range(2):  # the first may find that the parent has just gone
            connection = self._connected()
            if connection is None:
                break
            try:
                return connection.spawn(kind, request, stdout.fileno(), stderr.fileno())
            except ZygoteGone as error:
                log.info("the parent process of %s was gone: %s", module, error)
        return subprocess.Popen(  # noqa: S603  our own interpreter and module
            [*self._python, "-m", module, *argv],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )

    def warm(self) -> None:
        """Start importing in the background, before the first spawn. Cheap if that was done."""
        if self._lock.locked() or not self._usable or self.pid is not None:
            return
        Thread(target=self._connected, name="zygote", daemon=True).start()

    @property
    def pid(self) -> int | None:
        """Process id of the parent; None while it does not run."""
        connection = self._connection
        return connection.pid if connection is not None and connection.alive() else None

    def close(self) -> None:
        """End the parent, also while it imports; its children keep running."""
        self._closed = True
        if (starting := self._starting) is not None:
            starting.abandon()
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _connected(self) -> Connection | None:
        with self._lock:
            if self._connection is not None and self._connection.alive():
                return self._connection
            if not self._usable or self._closed or time.monotonic() < self._not_before:
                return None
            try:
                self._connection = self._start()
            except ZygoteGone as error:
                self._connection, self._not_before = None, time.monotonic() + RETRY_S
                if not self._closed:
                    log.warning("no parent to fork from, so processes start slowly for %.0f s: %s", RETRY_S, error)
            finally:
                self._starting = None
            return self._connection

    def _start(self) -> Connection:
        began = time.monotonic()
        command = [*self._python, "-m", "modelyard_zygote", "--idle-s", str(self._idle_s)]
        self._starting = connection = Connection([*command, "--preload", ",".join(self._preload)], self._env)
        if self._closed:
            connection.abandon()
        for module, error in connection.await_ready(self._start_timeout_s).items():
            log.warning("%s could not be imported in advance: %s", module, error)
        log.info("processes are forked from %d, ready in %.1f s", connection.pid, time.monotonic() - began)
        return connection
