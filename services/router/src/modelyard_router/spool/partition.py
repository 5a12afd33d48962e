"""Kafka's default partitioning, so that other producers' records of one key lie in the same partition as ours."""

import struct
from functools import cache
from typing import Final

_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that the Java client chooses for a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


@cache
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


def murmur2(data: bytes) -> int:
    """Murmur 2, 32 bits, with Kafka's seed."""
    length = len(data)
    count = length // 4
    h = _SEED ^ length
    for k in _words(count).unpack_from(data):
        k = k * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    if rest := data[4 * count :]:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15
