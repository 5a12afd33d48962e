"""How much all waiting files may take together, with what running downloads have not written yet."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

Have = Callable[[], int]
"""Bytes of a download that have arrived."""


class Room:
    """max_bytes: of all files below the folders together."""

    def __init__(self, max_bytes: int, *folders: Path) -> None:
        self._max_bytes, self._folders = max_bytes, folders
        self._lock = threading.Lock()
        self._reserved: dict[str, tuple[int, Have]] = {}

    def free_bytes(self) -> int:
        """Bytes that more files may take."""
        with self._lock:
            return self._free()

    def reserve(self, name: str, size_bytes: int, have: Have) -> bool:
        """Keep room for a download until `release`; False if there is none. A name has its last reservation only."""
        with self._lock:
            if size_bytes - have() > self._free(name):
                return False
            self._reserved[name] = size_bytes, have
            return True

    def release(self, name: str) -> None:
        """The download has ended: what has arrived counts as the other files do."""
        with self._lock:
            self._reserved.pop(name, None)

    def _free(self, without: str = "") -> int:
        others = (kept for name, kept in self._reserved.items() if name != without)
        coming = sum(max(0, size_bytes - have()) for size_bytes, have in others)
        return self._max_bytes - sum(map(size_of, self._files())) - coming

    def _files(self) -> Iterator[Path]:
        for folder in self._folders:
            yield from folder.rglob("*")


def size_of(path: Path) -> int:
    """Bytes of a file; 0 of a folder, a link, or a file that was moved just now."""
    with suppress(OSError):
        return path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    return 0
