"""Objects in a folder of this machine."""

import os
from collections.abc import Hashable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from modelyard_registry.store.objects import CHUNK_BYTES, StoredObject


class FolderObjects:
    """`<folder>/<key>`; renames and fsync make a file complete or absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        return self._folder / key

    def put(self, key: str, part: Path) -> None:
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        _sync_folder(target.parent)

    def size(self, key: str) -> int | None:
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            return None

    def mark(self, key: str) -> Hashable:
        found = self.path(key).stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        file = self.path(key).open("rb")  # here, not in the generator: a missing file must show before the first byte
        return _chunks(file, start, stop)

    def local(self, key: str) -> Path | None:
        return self.path(key)

    def move(self, key: str, to: str) -> None:
        target = self.path(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path(key).replace(target)
        os.utime(target)  # as in a bucket, the time of an object is that of its last move

    def remove(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for path in sorted((self._folder / prefix).rglob("*")):
            if path.is_file():
                found = path.stat()
                stored_at = datetime.fromtimestamp(found.st_mtime, UTC)
                yield StoredObject(path.relative_to(self._folder).as_posix(), found.st_size, stored_at)


def _chunks(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(CHUNK_BYTES, stop - start))):
            start += len(chunk)
            yield chunk


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
