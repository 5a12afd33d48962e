"""The local Ray that successive runs share: it starts with the first run and stops after an idle time."""

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from modelyard_trainer.jobs.processes import MARK, end_all_at
from modelyard_trainer.jobs.rundir import RunDir, read_json

WARM_RAY: Final = "MODELYARD_WARM_RAY"
"""Environment variable of a worker: folder with the address of the shared Ray."""
ADDRESS: Final = "address.json"
ORDERLY_S: Final = 8.0
"""How long Ray may take to end by itself."""
RESTART_S: Final = 5.0
"""Least time between two starts: a Ray that cannot start must not keep the machine busy."""
MAX_FAILED_STARTS: Final = 3
"""Failed starts in a row after which the waiting runs fail; the next run tries again."""
log = logging.getLogger(__name__)


class WarmRay:
    """Starts and stops the shared Ray; call `keep` regularly. Not thread-safe. No call waits for Ray's start."""

    def __init__(
        self,
        folder: Path,
        cpus: int,
        idle_s: float,
        now: Callable[[], float] = time.monotonic,
        *,
        preload: Sequence[str] = (),
    ) -> None:
        """preload: modules that its fitters import before the first run."""
        self._run_dir, self._cpus, self._idle_s, self._now = RunDir(folder.resolve()), cpus, idle_s, now
        self._preload = tuple(preload)
        self._secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # its ports are open to all
        self._child: subprocess.Popen[bytes] | None = None
        self._wanted_at = now()
        self._not_before = 0.0
        self._failed_starts, self._last_words = 0, ""
        self.starts = 0

    @property
    def cannot_start(self) -> str | None:
        """Reason after MAX_FAILED_STARTS, else None. Returned once; reading it allows new attempts."""
        if self._failed_starts < MAX_FAILED_STARTS:
            return None
        self._failed_starts = 0
        return f"the shared Ray cannot start; its log ends: {self._last_words}"

    @property
    def env(self) -> dict[str, str]:
        """Environment of a worker that uses it."""
        return {WARM_RAY: str(self._run_dir.path), **self._secret}

    @property
    def pid(self) -> int | None:
        """Process id of Ray's host; None if it is not running."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def keep(self, *, wanted: bool) -> None:
        """Start it if a run needs it and it is not running; stop it once no run has needed it for `idle_s`."""
        if wanted:
            self._wanted_at = self._now()
            if self.pid is not None and self._failed_starts and connection(self._run_dir.path) is not None:
                self._failed_starts = 0
            if self.pid is None and time.monotonic() >= self._not_before:
                if self._child is not None:
                    self._failed_starts, self._last_words = self._failed_starts + 1, self._run_dir.log_tail
                    log.warning("the shared Ray has died; its log ends: %s", self._last_words[-300:])
                self.stop()  # removes the rest of a dead one
                self._start()
        elif self._child is not None and self._now() - self._wanted_at >= self._idle_s:
            self.stop()

    def stop(self) -> None:
        """End it and all it started, in order if possible; returns once they have exited."""
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(ORDERLY_S)
        if self._run_dir.path.is_dir():
            end_all_at(self._run_dir, child)

    def _start(self) -> None:
        folder = self._run_dir.path
        folder.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        self._not_before = time.monotonic() + RESTART_S
        with self._run_dir.log.open("wb") as log:
            self._child = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "modelyard_trainer.worker.ray_host",
                    str(folder),
                    str(self._cpus),
                    *self._preload,
                ],
                env={**os.environ, **self._secret, MARK: str(folder)},
                stdin=subprocess.PIPE,  # the host ends when this pipe closes
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def connection(folder: Path) -> dict[str, Any] | None:
    """Return pid, address and fitters of the Ray of that folder; None if it is not ready."""
    found = read_json(folder / ADDRESS)
    return found if found is not None and RunDir(folder).holder == found["pid"] else None
