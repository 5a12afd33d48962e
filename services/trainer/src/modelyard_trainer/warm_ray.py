"""The local Ray that successive runs share: begins with the first run, ends when no run wanted it for a while."""

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

from modelyard_trainer.processes import MARK, end_all_at
from modelyard_trainer.rundir import RunDir, read_json

WARM_RAY: Final = "MODELYARD_WARM_RAY"
"""In a worker's environment: the folder where the shared Ray says how to connect."""
ADDRESS: Final = "address.json"
ORDERLY_S: Final = 8.0
"""How long Ray may take to end by itself."""


RESTART_S: Final = 5.0
"""At least between two starts: one that cannot start must not keep the machine busy."""
MAX_FAILED_STARTS: Final = 3
"""In a row; then the runs that wait for it fail, and the next one that wants it tries again."""
log = logging.getLogger(__name__)


class WarmRay:
    """Call `keep` now and then; not thread-safe. Ray's start takes seconds, no call waits for it."""

    def __init__(
        self,
        folder: Path,
        cpus: int,
        idle_s: float,
        now: Callable[[], float] = time.monotonic,
        *,
        preload: Sequence[str] = (),
    ) -> None:
        """preload: modules that its fitters import ahead of the first run."""
        self._place, self._cpus, self._idle_s, self._now = RunDir(folder.resolve()), cpus, idle_s, now
        self._preload = tuple(preload)
        self._secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # its ports are open to all
        self._child: subprocess.Popen[bytes] | None = None
        self._wanted_at = now()
        self._not_before = 0.0
        self._failed_starts, self._last_words = 0, ""
        self.starts = 0

    @property
    def cannot_start(self) -> str | None:
        """Why, once it has tried often enough. Told once: then it may try anew."""
        if self._failed_starts < MAX_FAILED_STARTS:
            return None
        self._failed_starts = 0
        return f"the shared Ray cannot start; its log ends: {self._last_words}"

    @property
    def env(self) -> dict[str, str]:
        """For a worker that is to use it."""
        return {WARM_RAY: str(self._place.path), **self._secret}

    @property
    def pid(self) -> int | None:
        """Of the process that has Ray; None while there is none."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def keep(self, *, wanted: bool) -> None:
        """Start it when a run wants it and it is not there; stop it when none has for `idle_s`."""
        if wanted:
            self._wanted_at = self._now()
            if self.pid is not None and self._failed_starts and connection(self._place.path) is not None:
                self._failed_starts = 0
            if self.pid is None and time.monotonic() >= self._not_before:
                if self._child is not None:
                    self._failed_starts, self._last_words = self._failed_starts + 1, self._place.log_tail
                    log.warning("the shared Ray has died; its log ends: %s", self._last_words[-300:])
                self.stop()  # what a dead one left
                self._start()
        elif self._child is not None and self._now() - self._wanted_at >= self._idle_s:
            self.stop()

    def stop(self) -> None:
        """End it, orderly if it can, and all it started, whoever started it; returns when they are gone."""
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(ORDERLY_S)
        if self._place.path.is_dir():
            end_all_at(self._place, child)

    def _start(self) -> None:
        folder = self._place.path
        folder.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        self._not_before = time.monotonic() + RESTART_S
        with self._place.log.open("wb") as log:
            self._child = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-m", "modelyard_trainer.ray_host", str(folder), str(self._cpus), *self._preload],
                env={**os.environ, **self._secret, MARK: str(folder)},
                stdin=subprocess.PIPE,  # its end tells the host that we are gone
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def connection(folder: Path) -> dict[str, Any] | None:
    """pid, address and fitters of the Ray that lives there; None while there is none."""
    told = read_json(folder / ADDRESS)
    return told if told is not None and RunDir(folder).holder == told["pid"] else None
