"""ClickHouse's own compressed blocks: `compress=1` for responses, `decompress=1` for request bodies.

A block is a checksum (CityHash128 of the rest), one byte for the method, the compressed size with these nine bytes, the
size of the data, and the compressed data. JDBC uses them by default.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Final

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from modelyard_devclickhouse.errors import BadRequest, ClickHouseError

_SUM_BYTES: Final = 16
_HEAD: Final = struct.Struct("<BII")
_BLOCK_BYTES: Final = 1 << 20
MAX_BLOCK_BYTES: Final = 64 << 20
"""Largest block of a request, compressed or not; clients send up to one MiB."""
_LZ4, _ZSTD, _NONE = 0x82, 0x90, 0x02
METHODS: Final = {"LZ4": _LZ4, "LZ4HC": _LZ4, "ZSTD": _ZSTD, "NONE": _NONE}


def method(name: str) -> int:
    """Return the code of a `network_compression_method`. Raises BadRequest for an unknown one."""
    try:
        return METHODS[name.upper()]
    except KeyError:
        raise BadRequest(f"network_compression_method {name!r} is unknown: use {', '.join(METHODS)}.") from None


class BlockEncoder:
    """The Encoder of `compress=1`."""

    def __init__(self, method: int) -> None:
        self._method = method

    def feed(self, data: bytes) -> bytes:
        parts = (data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES))
        return b"".join(_block(self._method, part) for part in parts)

    def end(self) -> bytes:
        return b""


def _block(method: int, data: bytes) -> bytes:
    packed = _packed(method, data)
    body = _HEAD.pack(method, len(packed) + _HEAD.size, len(data)) + packed
    return _checksum(body) + body


def _packed(method: int, data: bytes) -> bytes:
    if method == _LZ4:
        return bytes(lz4.block.compress(data, store_size=False))
    return zstandard.ZstdCompressor(level=1).compress(data) if method == _ZSTD else data


def _checksum(body: bytes) -> bytes:
    number: int = CityHash128(body)  # the lower half in the upper 64 bits
    return struct.pack("<QQ", number >> 64, number & (1 << 64) - 1)


async def unblocked(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Decode the blocks of a request body, cut anywhere. Raises ClickHouseError for damaged ones."""
    buffer = bytearray()
    async for chunk in body:
        buffer += chunk
        while (size := _block_size(buffer)) and len(buffer) >= size:
            data = _data(bytes(buffer[:size]))
            del buffer[:size]
            if data:
                yield data
    if buffer:
        raise ClickHouseError(33, "CANNOT_READ_ALL_DATA", "the body ends in the middle of a compressed block.")


def _block_size(buffer: bytearray) -> int:
    """Return the size of the first block, 0 if its head is not complete."""
    if len(buffer) < _SUM_BYTES + _HEAD.size:
        return 0
    _, packed, size = _HEAD.unpack_from(buffer, _SUM_BYTES)
    if not _HEAD.size <= packed <= MAX_BLOCK_BYTES or size > MAX_BLOCK_BYTES:
        raise _damaged(f"a block of {packed} bytes for {size} is outside of the limit {MAX_BLOCK_BYTES}")
    return _SUM_BYTES + int(packed)


def _data(block: bytes) -> bytes:
    body = block[_SUM_BYTES:]
    if _checksum(body) != block[:_SUM_BYTES]:
        raise ClickHouseError(40, "CHECKSUM_DOESNT_MATCH", "the checksum of a compressed block does not match.")
    method, _, size = _HEAD.unpack_from(body)
    try:
        data = _unpacked(method, body[_HEAD.size :], size)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError) as error:
        raise _damaged(f"a compressed block cannot be decoded: {error}") from None
    if len(data) != size:
        raise _damaged(f"a compressed block holds {len(data)} bytes and states {size}")
    return data


def _unpacked(method: int, packed: bytes, size: int) -> bytes:
    if method == _NONE or not size:
        return packed if size else b""
    if method == _LZ4:
        return bytes(lz4.block.decompress(packed, uncompressed_size=size))
    if method == _ZSTD:
        return bytes(zstandard.ZstdDecompressor().decompress(packed, max_output_size=size))
    raise ValueError(f"unknown method {method:#x}")


def _damaged(text: str) -> ClickHouseError:
    return ClickHouseError(271, "CANNOT_DECOMPRESS", f"{text}.")
