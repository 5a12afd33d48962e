"""Deleting old files: atomically for readers; and a periodic task."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelyard_runtime.wakeup import pause

TRASH: Final = ".trash-"
EVERY_S: Final = 3_600.0
FIRST_S: Final = 60.0
"""Delay after the start of a service."""
log = logging.getLogger(__name__)


def folders(home: Path) -> list[Path]:
    """Folders in `home`, the most recently changed first, without those being deleted."""
    if not home.is_dir():
        return []
    found = [(path.stat().st_mtime, path) for path in home.iterdir() if path.is_dir() and not _is_trash(path)]
    return [path for _, path in sorted(found, reverse=True)]


def discard(folder: Path) -> None:
    """Delete a folder. No reader sees a part of it; `empty_trash` finishes after a crash."""
    trash = folder.with_name(f"{TRASH}{uuid4().hex}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return
    shutil.rmtree(trash, ignore_errors=True)


def empty_trash(home: Path) -> None:
    """Finish deletions that a crash interrupted."""
    if home.is_dir():
        for path in home.iterdir():
            if _is_trash(path):
                shutil.rmtree(path, ignore_errors=True)


def discard_unused_files(home: Path, before: datetime) -> int:
    """Delete files below `home` that were not changed since `before`; returns their size in bytes."""
    freed = 0
    for file in home.rglob("*"):
        with contextlib.suppress(OSError):  # another process may delete, too
            if file.is_file() and (found := file.stat()).st_mtime < before.timestamp():
                file.unlink()
                freed += found.st_size
    if freed:
        log.info("removed %d unused bytes from %s", freed, home)
    return freed


class Periodic:
    """A background task: `work` in a thread, soon after the start and then every hour; errors are logged."""

    def __init__(
        self, what: str, work: Callable[[], object], *, every_s: float = EVERY_S, first_s: float = FIRST_S
    ) -> None:
        self._what, self._work, self._every_s, self._first_s = what, work, every_s, first_s

    async def run(self, stop: asyncio.Event) -> None:
        await pause(stop, self._first_s)
        while not stop.is_set():
            try:
                await asyncio.to_thread(self._work)
            except Exception:
                log.exception("%s failed and is tried again in %.0f s", self._what, self._every_s)
            await pause(stop, self._every_s)


def _is_trash(path: Path) -> bool:
    return path.name.startswith(TRASH)
