"""The spool's folder: its lock, and the note of how much of it is in Kafka."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

from modelyard_runtime.errors import StartupError

LOCK_FILE: Final = "lock"
SENT_FILE: Final = "sent"


def lock_folder(folder: Path) -> int:
    """Create and lock the folder; the file descriptor holds the lock. StartupError when another router holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / LOCK_FILE, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(
            f"ROUTER_DATA_DIR: cannot use {folder}: {error.strerror}; give a folder to write in"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise StartupError(
            f"ROUTER_DATA_DIR: another router works in {folder}; stop it, or give this one its own folder"
        ) from error
    return file


class SentNote:
    """A file with the position up to which all records are in Kafka; Kafka's own position may be higher."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / SENT_FILE, os.O_RDWR | os.O_CREAT, 0o600)

    def read(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int(os.pread(self._file, 64, 0))
        return 0

    def write(self, position: int) -> None:
        """In place and of fixed length within one block, so never half a number.

        Replacing the file would wait for the disk several times a second, on the event loop that answers requests.
        """
        with contextlib.suppress(OSError):  # a full disk; the note is only a lower bound of Kafka's position
            os.pwrite(self._file, b"%020d" % position, 0)

    def close(self) -> None:
        os.close(self._file)
