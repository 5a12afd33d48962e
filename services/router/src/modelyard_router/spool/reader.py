"""Reads the spool in order, from memory where possible, else from the segment files."""

from dataclasses import dataclass
from pathlib import Path

from modelyard_router.spool.recent import Recent, record_of
from modelyard_router.spool.segment import MAX_RECORD_BYTES, SpoolRecord, corrupt, scan, segment_path


@dataclass
class Cursor:
    """The next record's position, its segment and byte offset."""

    position: int
    segment: int
    offset: int


class SpoolReader:
    """The position of the spool's only reader. segments: first positions, shared with the writer."""

    def __init__(self, folder: Path, segments: list[int], recent: Recent) -> None:
        self._folder, self._segments, self._recent = folder, segments, recent
        self._cursor = Cursor(segments[0], segments[0], 0)

    def read(self, end: int, max_records: int, max_bytes: int) -> list[SpoolRecord]:
        """The next records below position `end`; SpoolCorrupt when a record is damaged."""
        cursor = self._cursor
        if cursor.position >= end:
            return []
        if taken := self._recent.take(cursor.position, max_records, max_bytes):
            position, *_, segment, offset = taken[-1]
            self._cursor = Cursor(position + 1, segment, offset)
            return [record_of(recent) for recent in taken]
        return self._read_file(max_records, max_bytes)

    def _read_file(self, max_records: int, max_bytes: int) -> list[SpoolRecord]:
        cursor = self._cursor
        following = self._segments.index(cursor.segment) + 1
        if following < len(self._segments) and self._segments[following] == cursor.position:
            cursor.segment, cursor.offset = cursor.position, 0
        path = segment_path(self._folder, cursor.segment)
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

    def seek(self, position: int, end: int, segment_bytes: int) -> None:
        """Continue at `position`, which is in the spool or its end."""
        segment = max((first for first in self._segments if first <= position), default=self._segments[0])
        self._cursor = Cursor(segment, segment, 0)
        while (ahead := position - self._cursor.position) > 0 and self.read(end, min(ahead, 2_000), segment_bytes):
            pass

    def segments_deleted(self) -> None:
        """Move to the oldest segment if the current one was deleted."""
        if self._cursor.segment < self._segments[0]:
            self._cursor = Cursor(self._segments[0], self._segments[0], 0)
