"""Kafka's record batch (magic 2), compressed with lz4 at level 1; see aiokafka_internals.py for the reason."""

import struct
from typing import Final

from aiokafka.codec import lz4_encode
from aiokafka.record.util import calc_crc32c

LZ4: Final = 3
TRANSACTIONAL: Final = 0x10
LZ4_LEVEL: Final = 1
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_FROM_CRC: Final = struct.Struct(">hiqqqhii")
_CRC_AT: Final = 21
_OVERHEAD_BYTES: Final = 64
"""More than the header and a record's own fields."""


def _varint(value: int) -> bytes:
    """Zigzag, for values >= 0."""
    rest, out = value << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SMALL: Final = tuple(_varint(value) for value in range(8_192))


def _size(value: int) -> bytes:
    return _SMALL[value] if value < 8_192 else _varint(value)


class RecordBatch:
    """The records of one partition, encoded once."""

    def __init__(self, max_bytes: int, now_ms: int) -> None:
        """now_ms: the time of all its records, milliseconds since 1970."""
        self._max_bytes, self._now_ms = max_bytes, now_ms
        self._parts: list[bytes] = []
        self._bytes = _OVERHEAD_BYTES
        self._producer = (-1, -1, -1)
        self._encoded: bytes | None = None

    def append(self, key: bytes, value: bytes, trace: bytes) -> bool:
        """Whether it had room. trace: a W3C traceparent, or empty."""
        if self._bytes + len(key) + len(value) + len(trace) + _OVERHEAD_BYTES > self._max_bytes and self._parts:
            return False
        headers = b"\x02\x16traceparent" + _size(len(trace)) + trace if trace else b"\x00"
        body = b"".join((b"\x00\x00", _size(len(self._parts)), _size(len(key)), key, _size(len(value)), value, headers))
        record = _size(len(body)) + body
        self._parts.append(record)
        self._bytes += len(record)
        return True

    def record_count(self) -> int:
        return len(self._parts)

    def size_bytes(self) -> int:
        """Of the encoded batch; an upper bound before it is encoded."""
        return len(self._encoded) if self._encoded is not None else self._bytes

    def set_producer(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        """Before `encoded`: the transactional producer that sends the batch."""
        self._producer = producer_id, producer_epoch, base_sequence

    def encoded(self) -> bytes:
        """The batch as it goes over the wire."""
        if self._encoded is None:
            self._encoded = self._encode()
        return self._encoded

    def _encode(self) -> bytes:
        records: bytes = lz4_encode(b"".join(self._parts), level=LZ4_LEVEL)
        count, now = len(self._parts), self._now_ms
        fields = (LZ4 | TRANSACTIONAL, count - 1, now, now, *self._producer, count)
        crc: int = calc_crc32c(_FROM_CRC.pack(*fields) + records)
        length = _HEADER.size - 12 + len(records)
        return _HEADER.pack(0, length, -1, 2, crc, *fields) + records
