"""The newest records of the spool, kept in memory too: what is shipped at once need not be read from the disk."""

from collections import deque
from typing import NamedTuple

from modelyard_router.spool.segment import SpoolRecord


class Kept(NamedTuple):
    record: SpoolRecord
    segment: int
    end: int
    """Where the record ends in its segment's file."""


class Recent:
    """At most about `max_bytes` of records; the oldest are forgotten first, the file has them all."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: deque[Kept] = deque()

    def add(self, record: SpoolRecord, segment: int, end: int) -> None:
        self._kept.append(Kept(record, segment, end))
        self._bytes += len(record.value) + len(record.key)
        while self._bytes > self._max_bytes and self._kept:
            self._forget()

    def take(self, position: int, max_records: int, max_bytes: int) -> list[Kept]:
        """The records from `position` on, which are forgotten here; none when the first of them is not here."""
        kept = self._kept
        while kept and kept[0].record.position < position:
            self._forget()
        if not kept or kept[0].record.position != position:
            return []
        taken: list[Kept] = []
        size = 0
        while kept and len(taken) < max_records:
            size += len(kept[0].record.value) + len(kept[0].record.key)
            if taken and size > max_bytes:
                break
            taken.append(self._forget())
        return taken

    def _forget(self) -> Kept:
        gone = self._kept.popleft()
        self._bytes -= len(gone.record.value) + len(gone.record.key)
        return gone
