"""Workers as processes: each in a session of its own, found again after we died, killed with all they started."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final
from uuid import UUID

import psutil

from modelyard_runtime.retention import empty_trash, folders
from modelyard_trainer.rundir import RunDir
from modelyard_zygote import Handle, Zygote

DEATH_S: Final = 10.0
"""How long the kernel may take to end what was killed."""
WORKER: Final = "modelyard_trainer.worker"
MARK: Final = "MODELYARD_RUN_DIR"
"""In the environment of a worker and of everything it starts: how Ray's processes are found wherever they moved."""
PRELOAD: Final = (
    "clickhouse_connect",
    "modelyard_trainer.catalogue",
    "modelyard_trainer.worker.main",
    "modelyard_trainer.recipes.tabular",
)
"""What a worker imports anyway, for a zygote; not Ray, whose threads do not outlive a fork."""


class Workers:
    """Starts, finds and ends the workers below one folder.

    zygote: has PRELOAD imported, so that a worker begins at once; without one a worker imports it all itself.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], zygote: Zygote | None = None) -> None:
        self._folder = folder
        self._env = dict(env)
        self._zygote = zygote
        self._children: dict[UUID, Handle] = {}

    def dir_of(self, run_id: UUID) -> RunDir:
        return RunDir(self._folder / str(run_id))

    def start(self, run_id: UUID, env: Mapping[str, str] | None = None) -> None:
        """Start a worker, with `env` besides what all get; a second one for the same run ends at once by itself."""
        place = self.dir_of(run_id)
        folder = str(place.path.resolve())
        whole = {**os.environ, **self._env, **(env or {}), MARK: folder}
        with place.log.open("ab") as log:
            self._children[run_id] = self._spawn(folder, whole, log)

    def _spawn(self, folder: str, env: Mapping[str, str], log: IO[bytes]) -> Handle:
        if self._zygote is not None and self._zygote.pid is not None:  # a run does not wait for one
            return self._zygote.spawn(WORKER, [folder], env=env, stdout=log, stderr=log)
        return subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-m", WORKER, folder],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def expect_more(self) -> None:
        """A run has ended, and others may follow: have the zygote ready for them. Returns at once."""
        if self._zygote is not None:
            self._zygote.warm()

    def alive(self, run_id: UUID) -> bool:
        """Whether a worker of the run lives, ours or one from before we were started."""
        child = self._children.get(run_id)
        if child is not None and child.poll() is None:
            return True
        self._children.pop(run_id, None)
        return self.dir_of(run_id).holder is not None

    def kill(self, run_id: UUID) -> None:
        """End the worker and all it started, Ray too; returns when they are gone."""
        self.kill_at(self.dir_of(run_id), self._children.pop(run_id, None))

    def kill_at(self, place: RunDir, child: Handle | None = None) -> None:
        """The same for a folder, whoever started what runs in it."""
        end_all_at(place, child)

    def folders(self) -> list[RunDir]:
        """Of all runs there are files of, the one that changed last first."""
        return [RunDir(path) for path in folders(self._folder)]

    def empty_trash(self) -> None:
        """Delete what is left of folders that a crash of ours left half deleted."""
        empty_trash(self._folder)

    def kill_all(self) -> None:
        """At the end of the service: nothing outlives it; an open run begins again with the next start."""
        for run_id in list(self._children):
            self.kill(run_id)
        if self._zygote is not None:
            self._zygote.close()


def end_all_at(place: RunDir, child: Handle | None = None) -> None:
    """Kill the holder of a folder, its process group, and all that is marked with the folder; returns when gone."""
    for pid in {child.pid if child else None, place.holder} - {None, 0}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(pid or 0), signal.SIGKILL)
    if child is not None:
        child.wait()
    left = list(_marked(place.path.resolve()))
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=DEATH_S)
    deadline = time.monotonic() + DEATH_S
    while place.holder is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    place.forget_ray()


def _marked(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                yield process
