"""Our own programs for files of others: each reading is a process whose memory ends with it."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from modelyard_runtime.errors import Unavailable

AT_ONCE: Final = 2
"""Readings at a time, of each kind of file."""
PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
"""Variables that the process gets; none of them is a secret."""
log = logging.getLogger(__name__)


class TookTooLong(Exception):
    """The process was stopped at its time limit."""


class Program:
    """Starts `python -m MODULE` for each reading."""

    def __init__(self, module: str, timeout_s: float) -> None:
        self._module, self._timeout_s = module, timeout_s
        self._slots = threading.BoundedSemaphore(AT_ONCE)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn; Unavailable while others are read for too long."""
        if not self._slots.acquire(timeout=self._timeout_s):
            raise Unavailable("other uploaded files are being read; try again in a minute")
        try:
            yield
        finally:
            self._slots.release()

    def run(self, request: str) -> bytes:
        """Pass the request on standard input and return standard output; TookTooLong at the time limit."""
        command = [sys.executable, "-m", self._module]
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            ended = subprocess.run(  # noqa: S603  our own program; the names of files are data on its standard input
                command,
                input=request.encode(),
                capture_output=True,
                timeout=self._timeout_s,
                env={**environment, "OMP_NUM_THREADS": "1"},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TookTooLong from error
        if ended.returncode:
            shown = ended.stderr[-2_000:].decode(errors="replace")
            log.warning("%s ended with status %s: %s", self._module, ended.returncode, shown)
        return ended.stdout
