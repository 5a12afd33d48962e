"""Records on disk, from the moment before a request is answered until Kafka has them."""

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelyard_router.domain.errors import SpoolFull, SpoolUnwritable
from modelyard_router.spool.folder import SentNote, lock_folder
from modelyard_router.spool.reader import SpoolReader
from modelyard_router.spool.recent import LARGE_BYTES, Recent
from modelyard_router.spool.segment import HEAD_BYTES, SpoolRecord, frame, recover, segment_path, segments_in
from modelyard_router.spool.sync import GroupSync

SEGMENT_BYTES: Final = 16 << 20
RECENT_RECORDS: Final = 4_096


class Spool:
    """Append and read from one event loop of one process; the folder's lock keeps other processes out.

    `append` returns when the operating system has the bytes: they survive a kill of this process. `synced` waits until
    they survive a power cut, and returns at once unless `fsync` is on.
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
        self.removed = False
        """The folder, or its newest segment, was deleted while in use; see `check_folder`."""
        self.trouble = ""
        """Why the last append failed; empty when it succeeded."""
        self._segment_bytes = min(segment_bytes, max(max_bytes // 4, 4_096))
        self._lock = lock_folder(folder)
        self._note = SentNote(folder)
        self._segments = segments_in(folder)
        self._sizes = {first: segment_path(folder, first).stat().st_size for first in self._segments}
        self._file = -1
        self._written = self._total = 0
        """Bytes of the newest segment, and of all."""
        self._sync = GroupSync(self._unsynced)
        self._ended: list[int] = []
        """With fsync: segments that were ended since the last sync."""
        self._new_name = True
        """Whether a segment was created since the folder was synced."""
        self._recent = Recent(recent_records)
        if self._segments:
            self._reopen(self._segments[-1])
        else:
            self.next_position = self.sent
            self._begin_segment()
        self._reader = SpoolReader(folder, self._segments, self._recent)

    # state

    @property
    def sent(self) -> int:
        """All records below this position are in Kafka, according to the folder's note."""
        return self._note.read()

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments, including sent records that share a segment with unsent ones."""
        return self._total

    @property
    def first_position(self) -> int:
        """Position of the oldest record still on disk."""
        return self._segments[0]

    @property
    def full(self) -> bool:
        return self._total >= self._limit

    def full_error(self) -> SpoolFull:
        if self.removed:
            return SpoolUnwritable(
                f"{self.folder} was deleted while the router uses it, so no prediction can be logged; "
                "restore it, or restart the router, which starts a new one"
            )
        return SpoolFull(
            f"the spool holds {self._total} of ROUTER_SPOOL_MAX_BYTES={self.max_bytes} bytes that are not in Kafka "
            "yet; restore the broker or raise the limit"
        )

    def check_folder(self) -> None:
        """Detect that the folder was deleted: records written then would be lost with this process, so none are.

        Call it periodically: a check per record would cost more than the record.
        """
        try:
            inode = segment_path(self.folder, self._segments[-1]).stat().st_ino
        except OSError:
            inode = -1
        self.removed = inode != os.fstat(self._file).st_ino
        self._limit = -1 if self.removed else self.max_bytes

    # writing

    def append(self, kind: int, key: bytes, value: bytes, trace: bytes = b"") -> None:
        """Write one record; SpoolFull, or SpoolUnwritable with the system's reason, when nothing was written."""
        self._append(frame(kind, key, value, trace), ((kind, key, value, trace),))

    def append_all(self, kind: int, records: Sequence[tuple[bytes, bytes]], trace: bytes = b"") -> None:
        """Write all (key, value) or none of them."""
        fields = [(kind, key, value, trace) for key, value in records]
        self._append(b"".join([frame(*each) for each in fields]), fields)

    def _append(self, data: bytes, records: Sequence[tuple[int, bytes, bytes, bytes]]) -> None:
        size = len(data)
        if self._total + size > self._limit:
            raise self.full_error()
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise self._unwritable(error) from error
        if written != size:
            raise self._unwritable(OSError(errno.ENOSPC, "only part of a record fitted on the disk"))
        self.trouble = ""
        segment, end = self._segments[-1], self._written
        for kind, key, value, trace in records:
            end += HEAD_BYTES + len(key) + len(trace) + len(value)
            if len(value) > LARGE_BYTES:
                self._recent.clear()
            else:
                self._recent.add((self.next_position, kind, key, trace, value, segment, end))
            self.next_position += 1
        self._written = end
        self._total += size
        if end >= self._segment_bytes:
            self._roll()

    def _unwritable(self, error: OSError) -> SpoolUnwritable:
        """Cut off the remains of a failed write, so that the next record does not follow half a record."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._written)
        self.trouble = f"{self.folder}: {error.strerror or error}"
        return SpoolUnwritable(f"the prediction log cannot be written: {self.trouble}; free disk space in that folder")

    async def synced(self) -> None:
        """Return once everything appended is on the disk; at once unless `fsync`. SpoolUnwritable when it fails."""
        if not self.fsync:
            return
        try:
            await self._sync.wait()
        except OSError as error:
            self._new_name = True
            self.trouble = f"{self.folder}: {error.strerror or error}"
            raise SpoolUnwritable(f"the prediction log cannot be synced: {self.trouble}; check that disk") from error

    # reading

    def read(self, max_records: int, max_bytes: int) -> list[SpoolRecord]:
        """The next records, none at the end; SpoolCorrupt when a record is damaged."""
        return self._reader.read(self.next_position, max_records, max_bytes)

    def seek(self, position: int) -> None:
        """Let `read` continue at `position`, which is in the spool or its end."""
        self._reader.seek(position, self.next_position, SEGMENT_BYTES)

    def release(self, position: int) -> None:
        """Everything below `position` is in Kafka: note it, and delete segments that hold nothing else."""
        if position == self.next_position and self._written > self._segment_bytes // 4:
            self._roll()
        self._note.write(position)
        while len(self._segments) > 1 and self._segments[1] <= position:
            first = self._segments.pop(0)
            self._total -= self._sizes.pop(first)
            segment_path(self.folder, first).unlink(missing_ok=True)
        self._reader.segments_deleted()

    def close(self) -> None:
        for file in (self._file, *self._ended):
            os.close(file)
        self._note.close()
        os.close(self._lock)

    # segments

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
        self._new_name = True
        self._segments.append(self.next_position)
        self._sizes[self.next_position] = self._written = 0
        self._total = sum(self._sizes.values())

    def _roll(self) -> None:
        """Continue in a new segment; on a full disk the present one keeps growing."""
        self._sizes[self._segments[-1]] = self._written
        old = self._file
        with contextlib.suppress(OSError):
            self._begin_segment()
            if self.fsync:
                self._ended.append(old)  # synced before any request with a record in it is answered
            else:
                os.close(old)

    def _unsynced(self) -> list[int]:
        """Descriptors of everything that is not known to be on the disk, for GroupSync."""
        files = [os.dup(self._file)]
        if self._new_name:
            files.append(os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY))
        files += self._ended
        self._ended, self._new_name = [], False
        return files
