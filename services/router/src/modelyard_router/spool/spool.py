"""Records on disk, from the moment a request is answered until Kafka has them."""

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_router.errors import SpoolFull, SpoolUnwritable
from modelyard_router.spool.recent import LARGE_BYTES, Recent, record_of
from modelyard_router.spool.segment import (
    HEAD_BYTES,
    MAX_RECORD_BYTES,
    SpoolRecord,
    corrupt,
    frame,
    recover,
    scan,
    segment_path,
    segments_in,
)
from modelyard_runtime.errors import StartupError

LOCK_FILE: Final = "lock"
SENT_FILE: Final = "sent"
SEGMENT_BYTES: Final = 16 << 20
RECENT_RECORDS: Final = 4_096


@dataclass
class Cursor:
    """Where the reader stands: the next record's position, its segment and byte."""

    position: int
    segment: int
    offset: int


class Spool:
    """Append and read from one event loop of one process; the folder's lock holds others off.

    `append` returns when the bytes are the operating system's: they survive a kill of this process. `synced` waits
    until they survive the machine's too, and returns at once unless `fsync` is on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        fsync: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        recent_records: int = RECENT_RECORDS,
    ) -> None:
        """recent_records: how many are kept in memory for the reader."""
        self.folder, self.max_bytes, self.fsync = folder, max_bytes, fsync
        self._limit = max_bytes
        self.gone = False
        """The folder, or the newest segment in it, was removed while we work; see `look`."""
        self._segment_bytes = min(segment_bytes, max(max_bytes // 4, 4_096))
        self._lock = _lock(folder)
        self._note = os.open(folder / SENT_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        self._segments = segments_in(folder)
        self._sizes = {first: segment_path(folder, first).stat().st_size for first in self._segments}
        self._file = -1
        self._written = self._total = 0
        """Bytes of the newest segment, and of all."""
        self.trouble = ""
        """Why the last append failed; empty when it did not."""
        self._sync = _GroupSync(lambda: self._file)
        self._recent = Recent(recent_records)
        if self._segments:
            self._reopen(self._segments[-1])
        else:
            self.next_position = self.sent
            self._begin_segment()
        self._cursor = Cursor(self._segments[0], self._segments[0], 0)

    @property
    def sent(self) -> int:
        """Records below this position are in Kafka, by this folder's own note; Kafka's may be higher."""
        with contextlib.suppress(OSError, ValueError):
            return int(os.pread(self._note, 64, 0))
        return 0

    @property
    def size_bytes(self) -> int:
        """Of all segments, those records included that are sent but share a segment with some that are not."""
        return self._total

    def look(self) -> None:
        """See if somebody removed the folder under us: what is written then dies with this process, so nothing is.

        To be called now and then: a look at each record would cost more than the record.
        """
        try:
            there = segment_path(self.folder, self._segments[-1]).stat().st_ino
        except OSError:
            there = -1
        self.gone = there != os.fstat(self._file).st_ino
        self._limit = -1 if self.gone else self.max_bytes

    @property
    def full(self) -> bool:
        return self._total >= self._limit

    def append(self, kind: int, key: bytes, value: bytes, trace: bytes = b"") -> None:
        """SpoolFull, or SpoolUnwritable with the disk's words: then nothing was written."""
        self._append(frame(kind, key, value, trace), ((kind, key, value, trace),))

    def append_all(self, kind: int, records: Sequence[tuple[bytes, bytes]], trace: bytes = b"") -> None:
        """The same for many (key, value), all or none of them."""
        fields = [(kind, key, value, trace) for key, value in records]
        self._append(b"".join([frame(*each) for each in fields]), fields)

    def _append(self, data: bytes, records: Sequence[tuple[int, bytes, bytes, bytes]]) -> None:
        size = len(data)
        if self._total + size > self._limit:
            raise self.too_full()
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise self._refused(error) from error
        if written != size:
            raise self._refused(OSError(errno.ENOSPC, "only part of a record fitted on the disk"))
        self.trouble = ""
        segment, end = self._segments[-1], self._written
        for kind, key, value, trace in records:
            end += HEAD_BYTES + len(key) + len(trace) + len(value)
            if len(value) > LARGE_BYTES:
                self._recent.forget()
            else:
                self._recent.add((self.next_position, kind, key, trace, value, segment, end))
            self.next_position += 1
        self._written = end
        self._total += size
        if end >= self._segment_bytes:
            self._roll()

    def too_full(self) -> SpoolFull:
        if self.gone:
            return SpoolUnwritable(
                f"{self.folder} was removed while the router works in it, so no prediction can be logged; "
                "bring it back, or restart the router, which begins a new one"
            )
        return SpoolFull(
            f"the spool holds {self._total} of ROUTER_SPOOL_MAX_BYTES={self.max_bytes} bytes that Kafka has not taken; "
            "bring the broker back or raise the limit"
        )

    async def synced(self) -> None:
        if self.fsync:
            await self._sync.wait()

    def read(self, max_records: int, max_bytes: int) -> list[SpoolRecord]:
        """The next records, none at the end; SpoolCorrupt when bytes are not what was written."""
        cursor = self._cursor
        if cursor.position >= self.next_position:
            return []
        if taken := self._recent.take(cursor.position, max_records, max_bytes):
            position, *_, segment, end = taken[-1]
            self._cursor = Cursor(position + 1, segment, end)
            return [record_of(kept) for kept in taken]
        following = self._segments.index(cursor.segment) + 1
        if following < len(self._segments) and self._segments[following] == cursor.position:
            cursor.segment, cursor.offset = cursor.position, 0
        path = segment_path(self.folder, cursor.segment)
        with path.open("rb") as file:
            file.seek(cursor.offset)
            data = file.read(max(max_bytes, 2 * MAX_RECORD_BYTES))
        records: list[SpoolRecord] = []
        used = 0
        for record, end in scan(data, cursor.position):
            if len(records) == max_records or (records and end > max_bytes):
                break
            records.append(record)
            used = end
        if not records:
            raise corrupt(path, cursor.offset)
        cursor.position, cursor.offset = cursor.position + len(records), cursor.offset + used
        return records

    def seek(self, position: int) -> None:
        """Let `read` go on at `position`, which is in the spool or its end."""
        segment = max((first for first in self._segments if first <= position), default=self._segments[0])
        self._cursor = Cursor(segment, segment, 0)
        while (ahead := position - self._cursor.position) > 0 and self.read(min(ahead, 2_000), SEGMENT_BYTES):
            pass

    @property
    def first_position(self) -> int:
        """Of the oldest record that is still here."""
        return self._segments[0]

    def release(self, position: int) -> None:
        """Everything below `position` is in Kafka: note it, delete the segments that hold nothing else."""
        if position == self.next_position and self._written > self._segment_bytes // 4:
            self._roll()
        # In place, of one length, within one block: never half a number. To replace the file would be to wait for the
        # disk, several times a second, on the loop that answers.
        with contextlib.suppress(OSError):  # a full disk; the note is only a lower bound of what Kafka knows
            os.pwrite(self._note, b"%020d" % position, 0)
        while len(self._segments) > 1 and self._segments[1] <= position:
            first = self._segments.pop(0)
            self._total -= self._sizes.pop(first)
            segment_path(self.folder, first).unlink(missing_ok=True)
        if self._cursor.segment < self._segments[0]:
            self._cursor = Cursor(self._segments[0], self._segments[0], 0)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._note)
        os.close(self._lock)

    def _reopen(self, first: int) -> None:
        path = segment_path(self.folder, first)
        count, size = recover(path, first)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._written = self._sizes[first] = size
        self._total = sum(self._sizes.values())
        self.next_position = first + count

    def _begin_segment(self) -> None:
        path = segment_path(self.folder, self.next_position)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._segments.append(self.next_position)
        self._sizes[self.next_position] = self._written = 0
        self._total = sum(self._sizes.values())

    def _roll(self) -> None:
        """Go on in a new segment; a full disk only means that this one grows on."""
        self._sizes[self._segments[-1]] = self._written
        old = self._file
        with contextlib.suppress(OSError):
            self._begin_segment()
            if self.fsync:
                os.fsync(old)
            os.close(old)

    def _refused(self, error: OSError) -> SpoolUnwritable:
        """Take back what a failed write may have left, so that the next record does not follow half a one."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._written)
        self.trouble = f"{self.folder}: {error.strerror or error}"
        return SpoolUnwritable(f"the prediction log cannot be written: {self.trouble}; free disk space in that folder")


def _lock(folder: Path) -> int:
    """Hold the folder; StartupError when another router does, or it cannot be made."""
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


class _GroupSync:
    """fdatasync in a thread, one for all who wait; one that began before a write does not count for it."""

    def __init__(self, file: Callable[[], int]) -> None:
        self._file = file
        self._running: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._after(self._running))
        await asyncio.shield(self._waiting)

    async def _after(self, previous: "asyncio.Future[None] | None") -> None:
        if previous is not None:
            await asyncio.wait({previous})
        self._running, self._waiting = self._waiting, None
        file = os.dup(self._file())  # the segment may be rolled meanwhile
        try:
            await asyncio.to_thread(os.fdatasync, file)
        finally:
            os.close(file)
