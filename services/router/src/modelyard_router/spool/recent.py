"""The newest records of the spool, kept in memory too: what is shipped at once need not be read from the disk."""

from collections import deque
from typing import Final

from modelyard_router.spool.segment import SpoolRecord

LARGE_BYTES: Final = 4_096
Kept = tuple[int, int, bytes, bytes, bytes, int, int]
"""A SpoolRecord's fields, its segment, and where it ends in the segment's file."""


class Recent:
    """Up to `max_records` that follow one another; the oldest are forgotten first, the file has them all."""

    def __init__(self, max_records: int) -> None:
        self._kept: deque[Kept] = deque(maxlen=max_records)
        self.add = self._kept.append
        """Called once per request: straight to the deque."""

    def forget(self) -> None:
        """For a record that is not to be kept: what is kept must have no gap."""
        self._kept.clear()

    def take(self, position: int, max_records: int, max_bytes: int) -> list[Kept]:
        """The records from `position` on, which are forgotten here; none when the first of them is not here."""
        kept = self._kept
        while kept and kept[0][0] < position:
            kept.popleft()
        if not kept or kept[0][0] != position:
            return []
        taken: list[Kept] = []
        size = 0
        while kept and len(taken) < max_records and (size < max_bytes or not taken):
            one = kept.popleft()
            size += len(one[4]) + len(one[2])
            taken.append(one)
        return taken


def record_of(kept: Kept) -> SpoolRecord:
    return SpoolRecord(*kept[:5])
