"""One partition: segments, producers, transactions, and waiting fetches."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from modelyard_devkafka.configs import TopicConfig
from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.storage import batch as batches
from modelyard_devkafka.storage.batch import Header
from modelyard_devkafka.storage.producers import Producers
from modelyard_devkafka.storage.segment import Segment


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Aborted(NamedTuple):
    """An aborted transaction; `last_offset` is the offset of its marker."""

    last_offset: int
    first_offset: int
    producer_id: int


@dataclass
class Appended:
    """Offset of an appended batch; `duplicate` if it was stored before."""

    base_offset: int
    append_time_ms: int = -1
    duplicate: bool = False


class Partition:
    """The log of one partition. Methods run on the broker's event loop; a write is in the file when they return."""

    def __init__(self, folder: Path, config: TopicConfig, log_start: int = 0) -> None:
        self.folder, self.config = folder, config
        self.log_start, self.next_offset = log_start, log_start
        self.segments: list[Segment] = []
        self.producers = Producers()
        self.open_transactions: dict[int, int] = {}
        self.aborted: list[Aborted] = []
        self.waiters: set[asyncio.Future[None]] = set()

    @property
    def last_stable_offset(self) -> int:
        """The last stable offset: no open transaction starts below it."""
        return next(iter(self.open_transactions.values()), self.next_offset)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    def load(self) -> None:
        """Load the partition's files. Raises DataFolderUnusable."""
        paths = sorted(self.folder.glob("*.log"))
        for path in paths:
            segment = Segment(path, int(path.stem))
            for batch, header in segment.load(last=path is paths[-1]):
                self._note(header, batches.commits(batch) if header.control else None)
            segment.loaded()
            self.next_offset = max(self.next_offset, segment.base_offset)
            self.segments.append(segment)

    def append(self, records: memoryview) -> Appended:
        """Append a producer's batch. Raises Refused or StorageFailed if nothing was written."""
        header = batches.accept(records, max_bytes=self.config.max_message_bytes)
        if self.config.compacted:
            _require_keys(records)
        if header.producer_id >= 0 and (known := self.producers.check(header)) is not None:
            return Appended(known, duplicate=True)
        stamp_ms = now_ms() if self.config.log_append_time else None
        batch = bytearray(records)
        batches.stamp(batch, self.next_offset, stamp_ms)
        header = self._write(batch)
        return Appended(header.base_offset, -1 if stamp_ms is None else stamp_ms)

    def end_transaction(self, producer_id: int, epoch: int, *, committed: bool) -> None:
        """Write a transaction marker, even if the producer wrote nothing here: its epoch fences older producers."""
        batch = batches.control_batch(producer_id, epoch, committed=committed, at_ms=now_ms())
        batches.stamp(batch, self.next_offset)
        self._write(batch, committed)

    def _write(self, batch: bytearray, committed: bool | None = None) -> Header:
        header, now = batches.header_at(batch), now_ms()
        self._segment_for(header.size, now).append(batch, header, now)
        self._note(header, committed)
        self.wake()
        return header

    def _segment_for(self, size: int, now: int) -> Segment:
        if self.segments and not self._full(self.segments[-1], size, now):
            return self.segments[-1]
        return self.roll()

    def _full(self, segment: Segment, size: int, now: int) -> bool:
        if not segment.size:
            return False
        too_old = now - segment.first_append_ms > self.config.segment_ms
        return too_old or segment.size + size > self.config.segment_bytes

    def roll(self) -> Segment:
        """Start a new segment; the previous one becomes read-only."""
        if self.segments:
            self.segments[-1].close()
        segment = Segment(self.folder / f"{self.next_offset:020d}.log", self.next_offset)
        self.segments.append(segment)
        return segment

    def _note(self, header: Header, committed: bool | None) -> None:
        producer = header.producer_id
        if producer >= 0:
            self.producers.note(header, now_ms())
        if header.control:
            first = self.open_transactions.pop(producer, None)
            if committed is False and first is not None:
                self.aborted.append(Aborted(header.last_offset, first, producer))
        elif header.transactional:
            self.open_transactions.setdefault(producer, header.base_offset)
        self.next_offset = header.last_offset + 1

    def read(self, offset: int, max_bytes: int, *, committed: bool, at_least_one: bool) -> tuple[bytes, list[Aborted]]:
        """Read batches from the one that contains `offset`; the last may be truncated. Raises Refused if out of range.

        committed: stop at the last stable offset, and list the aborted transactions in the range.
        at_least_one: return the first batch completely, even above max_bytes.
        """
        if not self.log_start <= offset <= self.next_offset:
            raise Refused(Code.OFFSET_OUT_OF_RANGE)
        upper = self.last_stable_offset if committed else self.next_offset
        for segment in self.segments[self._segment_of(offset) :]:
            if offset >= upper or segment.base_offset >= upper:
                break
            start = segment.position_of(offset)
            end = segment.size if upper >= segment.next_offset else segment.position_of(upper)
            if start < end:
                data = _cut(segment, start, end, max_bytes, at_least_one)
                bound = min(upper, segment.offset_bound(start + len(data)))
                return data, self._aborted_between(offset, bound) if committed else []
        return b"", []

    def _segment_of(self, offset: int) -> int:
        return max(bisect_left(self.segments, offset + 1, key=lambda segment: segment.base_offset) - 1, 0)

    def _aborted_between(self, offset: int, bound: int) -> list[Aborted]:
        start = bisect_left(self.aborted, (offset, -1, -1))
        return [aborted for aborted in self.aborted[start:] if aborted.first_offset < bound]

    def offset_for_time(self, timestamp_ms: int) -> tuple[int, int]:
        """Return offset and time of the first record at or after the time; (-1, -1) if there is none."""
        for segment in self.segments:
            if segment.max_timestamp_ms < timestamp_ms:
                continue
            for position, header in segment.positions_since(timestamp_ms):
                for record in batches.records_of(segment.read(position, header.size)):
                    if record.timestamp >= timestamp_ms and record.offset >= self.log_start:
                        return record.offset, record.timestamp
        return -1, -1

    def wake(self) -> None:
        """Wake all waiting fetches."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def advance_start(self, offset: int) -> None:
        """Delete records below the offset; segments without other records are removed."""
        self.log_start = max(self.log_start, offset)
        if self.segments and self.segments[-1].size and self.next_offset <= self.log_start:
            self.roll()
        while len(self.segments) > 1 and self.segments[1].base_offset <= self.log_start:
            self.segments.pop(0).delete()
        self.aborted = [aborted for aborted in self.aborted if aborted.last_offset >= self.log_start]

    def close(self) -> None:
        for segment in self.segments:
            segment.close()


def _cut(segment: Segment, start: int, end: int, max_bytes: int, at_least_one: bool) -> bytes:
    data = segment.read(start, min(max(max_bytes, 0), end - start))
    whole = len(data) >= batches.HEADER.size and batches.header_at(data).size <= len(data)
    if whole or start + len(data) == end:
        return data
    if not at_least_one:
        return b""
    return segment.read(start, batches.header_at(segment.read(start, batches.HEADER.size)).size)


def _require_keys(records: memoryview) -> None:
    if any(record.key is None for record in batches.records_of(records)):
        raise Refused(Code.INVALID_RECORD, "a compacted topic takes no record without a key")
