"""A file whose content is read again after a change, so that a rotation needs no restart."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

Content = TypeVar("Content")
RELOAD_S: Final = 1.0
"""How often the file is checked for a change, at most."""


class ReloadedFile(Generic[Content]):
    """The parsed content of a file, at most RELOAD_S old."""

    def __init__(
        self, path: Path, parse: Callable[[bytes], Content], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read it. OSError when it cannot be read; `parse` raises a ValueError for content that cannot be used."""
        self._path, self._parse, self._clock = path, parse, clock
        self._content, self._stamp = parse(path.read_bytes()), _stamp(path)
        self._checked = clock()

    @property
    def content(self) -> Content:
        """The content as it is now; the last usable one while the file cannot be read."""
        now = self._clock()
        if now - self._checked >= RELOAD_S:
            self._checked = now
            self._reload()
        return self._content

    def _reload(self) -> None:
        try:
            if (stamp := _stamp(self._path)) != self._stamp:
                self._content, self._stamp = self._parse(self._path.read_bytes()), stamp
        except (OSError, ValueError):
            return


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
