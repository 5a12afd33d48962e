"""Locks of folders that one process at a time may use."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from modelyard_cli.stack.layout import StackError


@contextlib.contextmanager
def sole_holder(file: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock of a file; StackError with `otherwise` while another process has it. It ends with the process."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(otherwise) from error
        yield
