"""The newest records of the spool, also kept in memory: records shipped promptly need not be read from the disk."""

from collections import deque
from typing import Final

from modelyard_router.spool.segment import SpoolRecord

LARGE_BYTES: Final = 4_096
"""A longer value is not kept in memory."""
RecentRecord = tuple[int, int, bytes, bytes, bytes, int, int]
"""The fields of a SpoolRecord, its segment, and its end in the segment's file in bytes."""


class Recent:
    """Up to `max_records` consecutive records; the oldest are dropped first, the file has them all."""

    def __init__(self, max_records: int) -> None:
        self._records: deque[RecentRecord] = deque(maxlen=max_records)
        self.add = self._records.append
        """Called once per request: straight to the deque."""

    def clear(self) -> None:
        """Drop all records, because one is not kept and there must be no gap."""
        self._records.clear()

    def take(self, position: int, max_records: int, max_bytes: int) -> list[RecentRecord]:
        """Remove and return the records from `position` on; none when the first of them is not in memory."""
        records = self._records
        while records and records[0][0] < position:
            records.popleft()
        if not records or records[0][0] != position:
            return []
        taken: list[RecentRecord] = []
        size = 0
        while records and len(taken) < max_records and (size < max_bytes or not taken):
            record = records.popleft()
            size += len(record[4]) + len(record[2])
            taken.append(record)
        return taken


def record_of(recent: RecentRecord) -> SpoolRecord:
    return SpoolRecord(*recent[:5])
