"""Write a file in another thread than the one that hashes it, and let the disk begin before the last byte.

Hashing, writing and waiting for the disk run outside of the interpreter's lock, so they overlap.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import IO, Any, Final

DEPTH: Final = 8
"""Pieces that wait to be written: a bound on memory, and room for a pause of the disk."""
SYNC_BYTES: Final = 32 * 1024 * 1024
"""Bytes after which the disk begins to write: fewer cost more in waiting than they save at the end."""
INLINE_BYTES: Final = 64 * 1024
"""A smaller piece is written at once: handing it to another thread costs more."""
_POOL: Final = ThreadPoolExecutor(16, thread_name_prefix="upload")


class Writer:
    """Pieces of one file in their order. encode: from a piece to the bytes of the file, called in the order as well."""

    def __init__(self, file: IO[bytes], encode: Callable[[bytes], bytes]) -> None:
        self._file, self._encode = file, encode
        self._changed = Condition()
        self._pieces: deque[bytes] = deque()
        self._busy = False
        self._error: BaseException | None = None
        self._synced: Future[None] | None = None
        self._unsynced = 0

    def add(self, piece: bytes) -> None:
        """Write a piece soon; raises the error of an earlier one."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._pieces) < DEPTH or self._error)
            self._raise()
            if not self._busy and len(piece) < INLINE_BYTES:
                self._store(piece)
                return
            self._pieces.append(piece)
            if not self._busy:
                self._busy = True
                _POOL.submit(self._drain)

    def wait(self) -> None:
        """Until everything is written and no sync is running; raises what went wrong."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
        synced, self._synced = self._synced, None
        if synced is not None:
            synced.result()
        self._raise()

    def _drain(self) -> None:
        while (piece := self._next()) is not None:
            try:
                self._store(piece)
            except BaseException as error:
                self._fail(error)

    def _next(self) -> bytes | None:
        with self._changed:
            found = self._pieces.popleft() if self._pieces else None
            self._busy = found is not None
            self._changed.notify_all()
            return found

    def _store(self, piece: bytes) -> None:
        self._file.write(self._encode(piece))
        self._unsynced += len(piece)
        if self._unsynced >= SYNC_BYTES and (self._synced is None or self._synced.done()):
            if self._synced is not None:
                self._synced.result()
            self._unsynced = 0
            self._synced = _POOL.submit(os.fdatasync, self._file.fileno())

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._pieces.clear()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def unchanged(piece: Any) -> Any:
    """A file that is not encoded."""
    return piece
