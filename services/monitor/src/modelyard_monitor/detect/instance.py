"""The identity of a worker in its consumer group; it outlives restarts.

Kafka gives the partitions of a dead member to others only after its session timeout. A restarted worker with the same
identity (static membership) takes its place at once. Two workers must never share one: the file is locked while in use.
"""

import fcntl
import time
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

from modelyard_runtime.log import get_logger

log = get_logger(__name__)

WAIT_S: Final = 4.0
"""An orphaned worker exits within two seconds; its successor waits for the identity until then."""
RETRY_S: Final = 0.05


class Instance:
    """An identity in use; it is free for the next process once this one is gone, however it ended."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file  # open as long as the identity is used: closing it ends the lock
        self.id = file.read().strip() or self._new()

    def _new(self) -> str:
        made = f"detect-{uuid4()}"
        self._file.write(made)
        self._file.flush()
        return made

    def release(self) -> None:
        """Free the identity; the worker must have left its group."""
        self._file.close()


def take_instance(folder: Path, wait_s: float = WAIT_S) -> Instance | None:
    """Return the identity that `folder` holds, made on first use; None when another process keeps it for `wait_s`."""
    file = (folder / "instance").open("a+")
    deadline = time.monotonic() + wait_s
    while not _locked(file):
        if time.monotonic() > deadline:
            log.warning("another worker uses the same folder; partitions change hands slowly", folder=str(folder))
            file.close()
            return None
        time.sleep(RETRY_S)
    file.seek(0)
    return Instance(file)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
