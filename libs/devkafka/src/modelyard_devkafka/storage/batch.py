"""Record batches (format 2). They stay opaque: the broker reads the header, checks the CRC and stamps the offset."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c  # compiled; aiokafka is pinned by the workspace's lock

from modelyard_devkafka.errors import Code, Refused

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_OFFSET: Final = struct.Struct(">q")
_EPOCH_AT: Final = 12  # partition leader epoch; like the base offset it is outside the CRC
_CRC_AT: Final = 17
_COVERED_AT: Final = 21  # the CRC covers everything from the attributes on
_CONTROL_TYPE_AT: Final = HEADER.size + 7  # in the batches made by `control_batch`
_TRANSACTIONAL, _CONTROL, _LOG_APPEND_TIME = 0x10, 0x20, 0x08
LEADER_EPOCH: Final = 0


class Header(NamedTuple):
    """The header of a batch. `size` counts all its bytes; `last_offset` is inclusive."""

    base_offset: int
    size: int
    magic: int
    crc: int
    attributes: int
    last_offset: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def last_sequence(self) -> int:
        """Sequences wrap to 0 after 2**31 - 1."""
        return (self.base_sequence + self.last_offset - self.base_offset) & 0x7FFFFFFF


def header_at(buffer: bytes | bytearray | memoryview, at: int = 0) -> Header:
    """Raises struct.error when the buffer is too short."""
    base, length, _, magic, crc, attributes, delta, first, last, producer, epoch, sequence, count = HEADER.unpack_from(
        buffer, at
    )
    return Header(
        base, length + 12, magic, crc, attributes, base + delta, first, last, producer, epoch, sequence, count
    )


def intact(batch: bytes | bytearray | memoryview) -> bool:
    """Return whether the CRC matches."""
    return bool(header_at(batch).crc == calc_crc32c(bytes(batch[_COVERED_AT:])))


def accept(records: memoryview, *, max_bytes: int) -> Header:
    """Check that a producer sent one complete, intact, well-formed batch. Raises Refused."""
    if len(records) < HEADER.size:
        raise Refused(Code.CORRUPT_MESSAGE, f"a batch has at least {HEADER.size} bytes, got {len(records)}")
    header = header_at(records)
    if header.magic != 2:
        raise Refused(Code.INVALID_RECORD, f"message format {header.magic} is not supported, only 2")
    if header.size != len(records):
        raise Refused(Code.INVALID_RECORD, "one produce request carries exactly one batch per partition")
    if header.size > max_bytes:
        raise Refused(Code.MESSAGE_TOO_LARGE, f"batch of {header.size} bytes, max.message.bytes is {max_bytes}")
    if not intact(records):
        raise Refused(Code.CORRUPT_MESSAGE, "the CRC does not match the batch")
    if header.control or header.records <= 0 or header.last_offset - header.base_offset != header.records - 1:
        raise Refused(Code.INVALID_RECORD, "control batch, or record count and offsets that disagree")
    return header


def stamp(batch: bytearray, base_offset: int, append_time_ms: int | None = None) -> None:
    """Set the batch's base offset and, with `append_time_ms`, its time (message.timestamp.type)."""
    _OFFSET.pack_into(batch, 0, base_offset)
    struct.pack_into(">i", batch, _EPOCH_AT, LEADER_EPOCH)
    if append_time_ms is not None:
        (attributes,) = struct.unpack_from(">h", batch, _COVERED_AT)
        struct.pack_into(">h", batch, _COVERED_AT, attributes | _LOG_APPEND_TIME)
        _OFFSET.pack_into(batch, 35, append_time_ms)
        _sign(batch)


def _sign(batch: bytearray) -> None:
    struct.pack_into(">I", batch, _CRC_AT, calc_crc32c(bytes(batch[_COVERED_AT:])))


def control_batch(producer_id: int, epoch: int, *, committed: bool, at_ms: int) -> bytearray:
    """Return the marker that ends a transaction in one partition."""
    record = bytes((32, 0, 0, 0, 8)) + struct.pack(">hh", 0, int(committed)) + bytes((12,)) + struct.pack(">hi", 0, 0)
    record += b"\0"
    length, marks = HEADER.size - 12 + len(record), _TRANSACTIONAL | _CONTROL
    header = (0, length, LEADER_EPOCH, 2, 0, marks, 0, at_ms, at_ms, producer_id, epoch, -1, 1)
    batch = bytearray(HEADER.pack(*header)) + record
    _sign(batch)
    return batch


def commits(batch: bytes | bytearray | memoryview) -> bool:
    """Return whether a control batch commits (true) or aborts its transaction."""
    return bool(struct.unpack_from(">h", batch, _CONTROL_TYPE_AT)[0] == 1)


def records_of(batch: bytes | bytearray | memoryview) -> Iterator[Any]:
    """Return the decompressed records: offset, timestamp, key, value, headers. Raises CorruptRecordException."""
    return iter(DefaultRecordBatch(bytes(batch)))


def rebuilt(batch: bytes, keep: list[Any]) -> bytearray:
    """Return the batch reduced to the records of `keep`, with the same offsets, times and producer.

    The transactional flag is cleared: compaction keeps committed records only, and may drop their marker.
    """
    old = header_at(batch)
    builder = DefaultRecordBatchBuilder(2, old.attributes & 7, 0, old.producer_id, old.producer_epoch, -1, 1 << 30)
    for record in keep:
        builder.append(
            record.offset - old.base_offset, record.timestamp, record.key, record.value, list(record.headers)
        )
    new = bytearray(builder.build())
    _OFFSET.pack_into(new, 0, old.base_offset)
    struct.pack_into(">i", new, 23, old.last_offset - old.base_offset)
    struct.pack_into(">i", new, 53, old.base_sequence)
    if old.attributes & _LOG_APPEND_TIME:
        stamp(new, old.base_offset, old.max_timestamp_ms)
    _sign(new)
    return new
