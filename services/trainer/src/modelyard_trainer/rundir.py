"""The folder of one run: all that worker and service tell each other, each file complete or absent.

request.json   what is to be done; written by the service before the worker starts
data.parquet   the rows; given, or the worker's snapshot (snapshot.json says which SQL and digest)
older.parquet  what the version that serves learned from, to fill a snapshot that is short
progress.jsonl the worker's telling, one JSON object a line
result.json    the end: manifest and metrics; the files are in model/
failure.json   it cannot be done, and trying again would not help
worker.lock    held by the living worker; its text is its process id
log.txt        what worker and Ray print
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

RAY_POINTER: Final = "ray-dir.txt"
LOG_TAIL_CHARS: Final = 1_500
LOCK_WAIT_S: Final = 1.0


class WorkerRuns(Exception):
    """Another worker holds this folder."""


class RunDir:
    """Paths and atomic files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data.parquet"
        self.older = path / "older.parquet"
        self.model = path / "model"
        self.work = path / "work"
        self.log = path / "log.txt"
        self._lock = path / "worker.lock"
        self._progress = path / "progress.jsonl"

    # what the service writes
    def prepare(self, request: dict[str, Any]) -> None:
        """Make the folder and put the request in; again, after a crash, with the same or a later attempt."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "request.json", request)

    @property
    def request(self) -> dict[str, Any]:
        return dict(json.loads((self.path / "request.json").read_text()))

    # what the worker writes
    def tell(self, **fields: Any) -> None:
        """One line of progress, with the machine's time for people; a torn last line is passed over by the reader."""
        with self._progress.open("a") as file:
            file.write(json.dumps({"at": round(time.time(), 2), **fields}) + "\n")

    def finish(self, result: dict[str, Any]) -> None:
        write_json(self.path / "result.json", result)

    def fail(self, reason: str) -> None:
        write_json(self.path / "failure.json", {"reason": reason})

    def snapshot(self, told: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What data.parquet is; written once, beside it."""
        if told is not None:
            write_json(self.path / "snapshot.json", told)
        return self._read("snapshot.json")

    # what is seen
    @property
    def result(self) -> dict[str, Any] | None:
        return self._read("result.json")

    @property
    def failure(self) -> str | None:
        found = self._read("failure.json")
        return None if found is None else str(found["reason"])

    @property
    def progress(self) -> list[dict[str, Any]]:
        """Every complete line so far."""
        if not self._progress.exists():
            return []
        lines = []
        for line in self._progress.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(dict(json.loads(line)))
        return lines

    @property
    def log_tail(self) -> str:
        """The last words, for people."""
        if not self.log.exists():
            return ""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARS:].strip()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Be the folder's only worker; WorkerRuns when there is one. Ends with the process, however it ends."""
        with self._lock.open("a+") as file:
            self._lock_within(file, LOCK_WAIT_S)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def _lock_within(self, file: IO[str], seconds: float) -> None:
        """Wait a moment: who asks for the holder has the lock for an instant."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise WorkerRuns(str(self.path)) from error
                time.sleep(0.05)

    @property
    def holder(self) -> int | None:
        """Process id of the living worker, None when there is none."""
        if not self._lock.exists():
            return None
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                return int(file.read() or 0)
        return None

    def forget_data(self) -> None:
        """Once all is in the registry: keep what explains the run, drop what is large. The data last: who finds them
        knows that this was broken off."""
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)
        self.older.unlink(missing_ok=True)
        self.forget_ray()
        self.data.unlink(missing_ok=True)

    def forget_ray(self) -> None:
        """Remove the folder that Ray had outside of ours, if a worker died before it could."""
        pointer = self.path / RAY_POINTER
        if pointer.exists():
            shutil.rmtree(pointer.read_text().strip(), ignore_errors=True)
            pointer.unlink(missing_ok=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        return read_json(self.path / name)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Complete or absent, also when the machine stops in the middle."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """What write_json wrote; None when it is not there."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def file_digest(path: Path) -> str:
    """`sha256:<hex>` of a file, read in chunks."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
