"""Workers as processes: each in a session of its own, found again after a restart, killed with all they started."""

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
from modelyard_trainer.jobs.rundir import RunDir
from modelyard_zygote import Handle, Zygote

LOG_LINES: Final = 20
DEATH_S: Final = 10.0
"""How long the kernel may take to end a killed process."""
WORKER: Final = "modelyard_trainer.worker"
MARK: Final = "MODELYARD_RUN_DIR"
"""Environment variable of a worker and of everything it starts; finds Ray's processes whatever their parent is."""
PRELOAD: Final = (
    "clickhouse_connect",
    "modelyard_trainer.jobs.catalogue",
    "modelyard_trainer.worker.main",
    "modelyard_trainer.recipes.tabular",
)
"""Modules of every worker, imported by the zygote; without Ray, whose threads do not survive a fork."""


class Workers:
    """Starts, finds and ends the workers below one folder.

    zygote: has imported PRELOAD, so that a worker starts at once; without it each worker imports the modules itself.
    module: run with the folder as its argument.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str], zygote: Zygote | None = None, module: str = WORKER
    ) -> None:
        self._module = module
        self._folder = folder
        self._env = dict(env)
        self._zygote = zygote
        self._children: dict[UUID, Handle] = {}

    def dir_of(self, run_id: UUID) -> RunDir:
        return RunDir(self._folder / str(run_id))

    def start(self, run_id: UUID, env: Mapping[str, str] | None = None) -> None:
        """Start a worker with additional variables `env`; a second worker of the same run ends at once by itself."""
        run_dir = self.dir_of(run_id)
        folder = str(run_dir.path.resolve())
        whole = {**os.environ, **self._env, **(env or {}), MARK: folder}
        with run_dir.log.open("ab") as log:
            self._children[run_id] = self._spawn(folder, whole, log)

    def _spawn(self, folder: str, env: Mapping[str, str], log: IO[bytes]) -> Handle:
        if self._zygote is not None and self._zygote.pid is not None:  # a run does not wait for it to be ready
            return self._zygote.spawn(self._module, [folder], env=env, stdout=log, stderr=log)
        return subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-m", self._module, folder],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def log_lines(self, run_id: UUID) -> list[str]:
        """The newest lines of a run: its progress, then the worker's log; without control characters."""
        run_dir = self.dir_of(run_id)
        notes = [f"{line['progress']:.0%} {line['note']}" for line in run_dir.progress]
        lines = (notes + run_dir.log_tail.splitlines())[-LOG_LINES:]
        return ["".join(character if character.isprintable() else " " for character in line) for line in lines]

    def expect_more(self) -> None:
        """Prepare the zygote for the next run; returns at once."""
        if self._zygote is not None:
            self._zygote.warm()

    def alive(self, run_id: UUID) -> bool:
        """Return whether a worker of the run lives, including one that an earlier service process started."""
        child = self._children.get(run_id)
        if child is not None and child.poll() is None:
            return True
        self._children.pop(run_id, None)
        return self.dir_of(run_id).holder is not None

    def kill(self, run_id: UUID) -> None:
        """Kill the worker and all it started, including Ray; returns once they have exited."""
        self.kill_at(self.dir_of(run_id), self._children.pop(run_id, None))

    def kill_at(self, run_dir: RunDir, child: Handle | None = None) -> None:
        """The same for a folder, also for processes of an earlier service process."""
        end_all_at(run_dir, child)

    def folders(self) -> list[RunDir]:
        """Return the folders of all runs, last changed first."""
        return [RunDir(path) for path in folders(self._folder)]

    def empty_trash(self) -> None:
        """Finish deletions that a crash interrupted."""
        empty_trash(self._folder)

    def kill_all(self) -> None:
        """Kill all workers when the service stops; an open run restarts with the next start.

        Those that an earlier service process started are among them: it may have been killed.
        """
        for run_id in list(self._children):
            self.kill(run_id)
        for run_dir in self.folders():
            if run_dir.holder is not None:
                self.kill_at(run_dir)
        if self._zygote is not None:
            self._zygote.close()


def end_all_at(run_dir: RunDir, child: Handle | None = None) -> None:
    """Kill the holder of a folder, its process group, and all processes marked with the folder; returns once exited."""
    for pid in {child.pid if child else None, run_dir.holder} - {None, 0}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(pid or 0), signal.SIGKILL)
    if child is not None:
        child.wait()
    left = list(_marked(run_dir.path.resolve()))
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=DEATH_S)
    deadline = time.monotonic() + DEATH_S
    while run_dir.holder is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    run_dir.forget_ray()


def _marked(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                yield process
