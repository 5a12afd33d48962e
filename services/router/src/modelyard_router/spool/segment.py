"""Format of a segment file: `length, crc32, kind, key length, trace length, key, trace, value`, little endian.

A segment is named after the position of its first record; a record's position is its number since the spool was made.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from modelyard_router.domain.errors import SpoolCorrupt, TooLarge

SUFFIX: Final = ".spool"
MAX_RECORD_BYTES: Final = 1_000_000
"""Below the largest message of the topics (1 MiB)."""
_HEAD: Final = struct.Struct("<IIBHB")
_LENGTH_CRC_BYTES: Final = 8
HEAD_BYTES: Final = _HEAD.size
_REST: Final = struct.Struct("<BHB")


class SpoolRecord(NamedTuple):
    """One record of the log."""

    position: int
    kind: int
    key: bytes
    trace: bytes
    """W3C traceparent of the request, or empty."""
    value: bytes


def frame(kind: int, key: bytes, value: bytes, trace: bytes = b"") -> bytes:
    """A record as bytes; TooLarge when it exceeds the largest Kafka message."""
    if len(value) > MAX_RECORD_BYTES:
        raise TooLarge(f"the logged row has {len(value)} bytes; send features of less than {MAX_RECORD_BYTES} bytes")
    rest = _REST.pack(kind, len(key), len(trace)) + key + trace + value
    return len(rest).to_bytes(4, "little") + zlib.crc32(rest).to_bytes(4, "little") + rest


def segment_path(folder: Path, first: int) -> Path:
    return folder / f"{first:020d}{SUFFIX}"


def segments_in(folder: Path) -> list[int]:
    """First positions of the segments, oldest first."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}"))


def scan(data: bytes | memoryview, position: int) -> Iterator[tuple[SpoolRecord, int]]:
    """Each complete record and its end in `data`; stops before the first incomplete or damaged one."""
    view = memoryview(data)
    start, size = 0, len(view)
    while start + HEAD_BYTES <= size:
        length, crc, kind, key_length, trace_length = _HEAD.unpack_from(view, start)
        end = start + _LENGTH_CRC_BYTES + length
        if end > size or length > 2 * MAX_RECORD_BYTES or zlib.crc32(view[start + _LENGTH_CRC_BYTES : end]) != crc:
            return
        key_start = start + HEAD_BYTES
        trace_start = key_start + key_length
        value_start = trace_start + trace_length
        yield (
            SpoolRecord(
                position,
                kind,
                bytes(view[key_start:trace_start]),
                bytes(view[trace_start:value_start]),
                bytes(view[value_start:end]),
            ),
            end,
        )
        start = end
        position += 1


def recover(path: Path, first: int) -> tuple[int, int]:
    """(records, bytes) of the newest segment after a crash; a torn last record, whose request got no answer, is cut."""
    data = path.read_bytes()
    ends = [end for _, end in scan(data, first)]
    whole = ends[-1] if ends else 0
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    return len(ends), whole


def corrupt(path: Path, offset: int) -> SpoolCorrupt:
    return SpoolCorrupt(
        f"{path.name}: the record at byte {offset} is damaged; no later record is sent. "
        "Move the file out of the spool folder to continue without it, keep it, and restart"
    )
