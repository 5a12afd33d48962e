"""The folder of one run: worker and service communicate by these files, each complete or absent.

request.json   what to do; written by the service before the worker starts
data.parquet   the rows: a given dataset, or the worker's snapshot (snapshot.json holds its SQL and digest)
older.parquet  training rows of the serving version, to fill a short snapshot
progress.jsonl the worker's progress, one JSON object per line
manifest.json  the manifest, in the bytes that are registered
result.json    the result: digest of the manifest, metrics, summary; the model's files are in model/
failure.json   the run cannot be done; a restart would not help
worker.lock    locked by the living worker; holds its process id
log.txt        output of worker and Ray
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
    """Paths of one run, and its files: read as a whole, written atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data.parquet"
        self.older = path / "older.parquet"
        self.model = path / "model"
        self.work = path / "work"
        self.log = path / "log.txt"
        self._lock = path / "worker.lock"
        self._progress = path / "progress.jsonl"

    # written by the service
    def prepare(self, request: dict[str, Any]) -> None:
        """Create the folder and write the request; repeated with each attempt."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "request.json", request)

    @property
    def request(self) -> dict[str, Any]:
        return dict(json.loads((self.path / "request.json").read_text()))

    # written by the worker
    def report(self, **fields: Any) -> None:
        """Append a line of progress with the machine's time; readers skip a torn last line."""
        with self._progress.open("a") as file:
            file.write(json.dumps({"at": round(time.time(), 2), **fields}) + "\n")

    def write_manifest(self, data: bytes) -> None:
        """Write the manifest's bytes; nothing changes them afterwards."""
        write_bytes(self.path / "manifest.json", data)

    def finish(self, result: dict[str, Any]) -> None:
        write_json(self.path / "result.json", result)

    def fail(self, reason: str) -> None:
        write_json(self.path / "failure.json", {"reason": reason})

    def write_snapshot(self, snapshot: dict[str, Any]) -> None:
        """Describe data.parquet: digest, rows, columns and source."""
        write_json(self.path / "snapshot.json", snapshot)

    # read by both
    @property
    def snapshot(self) -> dict[str, Any] | None:
        """Description of data.parquet; None for a given dataset."""
        return read_json(self.path / "snapshot.json")

    @property
    def manifest(self) -> bytes:
        """The bytes of the manifest; present once there is a result."""
        return (self.path / "manifest.json").read_bytes()

    @property
    def result(self) -> dict[str, Any] | None:
        return read_json(self.path / "result.json")

    @property
    def failure(self) -> str | None:
        found = read_json(self.path / "failure.json")
        return None if found is None else str(found["reason"])

    @property
    def progress(self) -> list[dict[str, Any]]:
        """All complete lines so far."""
        if not self._progress.exists():
            return []
        lines = []
        for line in self._progress.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(dict(json.loads(line)))
        return lines

    @property
    def log_tail(self) -> str:
        """The end of the log, for people."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * LOG_TAIL_CHARS))  # UTF-8: at most 4 bytes a character
            return file.read().decode(errors="replace")[-LOG_TAIL_CHARS:].strip()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this worker; WorkerRuns if another one has it. The lock ends with the process."""
        with self._lock.open("a+") as file:
            self._lock_within(file, LOCK_WAIT_S)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def _lock_within(self, file: IO[str], seconds: float) -> None:
        """Retry for a moment: `holder` takes the lock for an instant, too."""
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
        """Process id of the living worker; None if there is none."""
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
        """Delete the large files of an ended run; keep those that explain it.

        The data goes last: an ended run that still has data was interrupted while deleting.
        """
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)
        self.older.unlink(missing_ok=True)
        self.forget_ray()
        self.data.unlink(missing_ok=True)

    def forget_ray(self) -> None:
        """Delete Ray's folder outside of this one, if a worker died before it could."""
        pointer = self.path / RAY_POINTER
        if pointer.exists():
            shutil.rmtree(pointer.read_text().strip(), ignore_errors=True)
            pointer.unlink(missing_ok=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file that is complete or absent, even if the machine stops."""
    write_bytes(path, json.dumps(value).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is complete or absent, even if the machine stops."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a file of write_json; None if it is absent."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def file_digest(path: Path) -> str:
    """`sha256:<hex>` of a file, read in chunks."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
