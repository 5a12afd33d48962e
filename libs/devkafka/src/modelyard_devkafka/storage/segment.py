"""One file of a partition's log, with a sparse index in memory."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelyard_devkafka.errors import DataFolderUnusable, StorageFailed
from modelyard_devkafka.storage.batch import HEADER, Header, header_at, intact

_INDEX_EVERY_BYTES: Final = 4096
_CHUNK_BYTES: Final = 256 * 1024


def write_fully(fd: int, data: bytes | bytearray, at: int) -> None:
    """Write all or nothing: on an error, truncate the file to `at` and raise StorageFailed."""
    view, done = memoryview(data), 0
    try:
        while done < len(view):
            done += os.pwrite(fd, view[done:], at + done)
    except OSError as problem:
        os.ftruncate(fd, at)
        raise StorageFailed(f"cannot write {len(view)} bytes: {problem.strerror}") from problem


class Segment:
    """Batches from `base_offset` on. No fsync: survives the process, not a power loss."""

    def __init__(self, path: Path, base_offset: int) -> None:
        self.path, self.base_offset = path, base_offset
        self.size, self.next_offset, self.max_timestamp_ms, self.first_append_ms = 0, base_offset, -1, -1
        self.cleaned = False
        self._offsets, self._positions, self._times = array("q"), array("q"), array("q")
        self._fd = -1

    def append(self, batch: bytearray | bytes, header: Header, now_ms: int) -> None:
        """Raises StorageFailed if nothing was written."""
        write_fully(self._open(), batch, self.size)
        if self.first_append_ms < 0:
            self.first_append_ms = now_ms
        self.note(header, self.size)

    def note(self, header: Header, position: int) -> None:
        """Add a batch in the file to the index."""
        if not self._positions or position - self._positions[-1] >= _INDEX_EVERY_BYTES:
            self._offsets.append(header.base_offset)
            self._positions.append(position)
            self._times.append(header.max_timestamp_ms)
        elif header.max_timestamp_ms > self._times[-1]:
            self._times[-1] = header.max_timestamp_ms
        self.size = position + header.size
        self.next_offset = header.last_offset + 1
        self.max_timestamp_ms = max(self.max_timestamp_ms, header.max_timestamp_ms)

    def position_of(self, offset: int) -> int:
        """Return the position of the batch that contains `offset`, or of the next one, or the file size."""
        if offset >= self.next_offset:
            return self.size
        entry = max(bisect_right(self._offsets, offset) - 1, 0)
        start = self._positions[entry] if self._positions else 0
        for position, header in self.walk(start):
            if header.last_offset >= offset:
                return position
        return self.size

    def offset_bound(self, position: int) -> int:
        """Return an offset above all batches before `position`."""
        entry = bisect_right(self._positions, position - 1)
        return self._offsets[entry] if entry < len(self._offsets) else self.next_offset

    def positions_since(self, timestamp_ms: int) -> Iterator[tuple[int, Header]]:
        """Yield batches whose latest record is at or after the time, in order."""
        for entry, latest in enumerate(self._times):
            if latest >= timestamp_ms:
                walk = self.walk(self._positions[entry])
                yield from ((at, header) for at, header in walk if header.max_timestamp_ms >= timestamp_ms)
                return

    def walk(self, start: int = 0) -> Iterator[tuple[int, Header]]:
        """Yield position and header of every batch, from a batch boundary on."""
        at, chunk_at, chunk = start, start, b""
        while at < self.size:
            if at + HEADER.size > chunk_at + len(chunk):
                chunk_at, chunk = at, self.read(at, _CHUNK_BYTES if at > start else _INDEX_EVERY_BYTES * 2)
            header = header_at(chunk, at - chunk_at)
            yield at, header
            at += header.size

    def read(self, position: int, size: int) -> bytes:
        """Read at most `size` bytes; a closed segment is opened for this read only."""
        size = min(size, self.size - position)
        if self._fd >= 0:
            return os.pread(self._fd, size, position)
        if not self.size:
            return b""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(fd, size, position)
        finally:
            os.close(fd)

    def load(self, *, last: bool) -> Iterator[tuple[bytes, Header]]:
        """Read the file after a start; yields complete control batches, and at least the header of others.

        last: the active segment; every batch is verified, and a torn last write is truncated.
        Damage in any other segment raises DataFolderUnusable.
        """
        end, at = self.path.stat().st_size, 0
        with self.path.open("rb", buffering=_CHUNK_BYTES) as file:
            while at + HEADER.size <= end:
                batch = file.read(HEADER.size)
                header = header_at(batch)
                if header.size < HEADER.size or at + header.size > end:
                    break
                if last or header.control:
                    batch += file.read(header.size - HEADER.size)
                    if not intact(batch):
                        break
                else:
                    file.seek(at + header.size)
                self.note(header, at)
                at += header.size
                yield batch, header
        if at < end and not last:
            raise DataFolderUnusable(f"{self.path} is damaged at byte {at}: move the data folder away and start anew")
        if at < end:
            os.truncate(self.path, at)

    def loaded(self) -> None:
        """After `load`, take the segment's age from its file's modification time."""
        self.first_append_ms = int(self.path.stat().st_mtime * 1000) if self.size else -1

    def _open(self) -> int:
        if self._fd < 0:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as problem:
                raise StorageFailed(f"cannot open {self.path.name}: {problem.strerror}") from problem
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def delete(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)
