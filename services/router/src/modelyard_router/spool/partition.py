"""Kafka's default partitioner, so that records of one key from other producers are in the same partition as ours."""

import struct
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Final

_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that the Java client chooses for a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The same for many keys; several times faster for keys of equal length, as ids are."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[len(key)].append(place)
    out = [0] * len(keys)
    for members in places.values():
        for place, hash_ in zip(members, _murmur2_all([keys[place] for place in members]), strict=True):
            out[place] = (hash_ & 0x7FFFFFFF) % partitions
    return out


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


def _murmur2_all(keys: Sequence[bytes]) -> tuple[int, ...]:
    """murmur2 of keys of equal length: one big integer with a 64-bit slot per key, each holding a 32-bit hash."""
    length, slots = len(keys[0]), len(keys)
    if slots < 4:
        return tuple(murmur2(key) for key in keys)
    ones = _ones(slots)
    mask = ones * _MASK
    padded = b"".join([key.ljust(length + -length % 4, b"\0") for key in keys])
    words = memoryview(padded).cast("I").tolist()
    pack, per_key = struct.Struct(f"<{slots}Q").pack, len(words) // slots
    columns = [int.from_bytes(pack(*words[i::per_key]), "little") for i in range(per_key)]
    h = ones * (_SEED ^ length)
    for k in columns[: length // 4]:
        k = k * _M & mask
        h = (h * _M & mask) ^ ((k ^ (k >> 24 & ones * 0xFF)) * _M & mask)
    if length % 4:
        h = (h ^ columns[-1]) * _M & mask
    h = (h ^ (h >> 13 & ones * 0x7FFFF)) * _M & mask
    h ^= h >> 15 & ones * 0x1FFFF
    return struct.unpack(f"<{slots}Q", h.to_bytes(8 * slots, "little"))


@cache
def _ones(slots: int) -> int:
    """1 in every slot."""
    return int.from_bytes(b"\1\0\0\0\0\0\0\0" * slots, "little")
