"""Avro's binary encoding of the few types in the frequent records; byte for byte equal to fastavro (tested)."""

import struct
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from modelyard_contracts.topics import topic

NULL: Final = b"\x00"
SOME: Final = b"\x02"
"""Branch of a value in the union [null, T]."""
EMPTY: Final = b"\x00"
"""An empty array or map, or the end of one."""

_DOUBLE: Final = struct.Struct("<d").pack
_SMALL: Final = tuple(bytes([2 * n]) if n < 64 else bytes([(2 * n) & 0x7F | 0x80, (2 * n) >> 7]) for n in range(8192))
_SOME_SMALL: Final = tuple(SOME + size for size in _SMALL)


def header(topic_name: str) -> bytes:
    """Confluent framing with the topic's newest schema id."""
    return b"\x00" + topic(topic_name).schema_ids[-1].to_bytes(4, "big")


def long(value: int) -> bytes:
    """Zigzag variable-length integer."""
    if 0 <= value < 8192:
        return _SMALL[value]
    rest = (value << 1) ^ (value >> 63)
    if rest >> 14 > 0x7F:
        # Timestamps: all but their lowest two bytes change once in eight milliseconds.
        return bytes((rest & 0x7F | 0x80, rest >> 7 & 0x7F | 0x80)) + _high(rest >> 14)
    return _varint(rest)


@lru_cache(maxsize=64)
def _high(rest: int) -> bytes:
    return _varint(rest)


def _varint(rest: int) -> bytes:
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def text(value: str) -> bytes:
    raw = value.encode()
    size = len(raw)
    return (_SMALL[size] if size < 8192 else long(size)) + raw


def optional_text(value: str | None) -> bytes:
    if value is None:
        return NULL
    raw = value.encode()
    size = len(raw)
    return (_SOME_SMALL[size] if size < 8192 else SOME + long(size)) + raw


def optional_double(value: float | None) -> bytes:
    return NULL if value is None else SOME + _DOUBLE(value)


double = _DOUBLE

repeated_text: Final = lru_cache(maxsize=1_024)(optional_text)
"""optional_text with a cache, for the few values that repeat: classes, rules."""


@cache
def _optional_doubles(count: int) -> tuple[Callable[..., bytes], bytes, list[Any]]:
    """For `count` non-null values: (pack, encoded array length, values with the union's branches filled in)."""
    size = long(count)
    return struct.Struct(f"<{len(size)}s" + "Bd" * count + "B").pack, size, [2, None] * count + [0]


def optional_doubles(values: Sequence[float | None]) -> bytes:
    """array<[null, double]>"""
    if not values:
        return EMPTY
    if None in values:
        return long(len(values)) + b"".join([NULL if v is None else SOME + _DOUBLE(v) for v in values]) + EMPTY
    pack, size, pattern = _optional_doubles(len(values))
    items = pattern.copy()
    items[1::2] = values
    return pack(size, *items)


def optional_texts(values: Sequence[str | None]) -> bytes:
    """array<[null, string]>"""
    if not values:
        return EMPTY
    return long(len(values)) + b"".join([optional_text(value) for value in values]) + EMPTY


@cache
def _doubles(count: int) -> tuple[Callable[..., bytes], bytes]:
    size = long(count)
    return struct.Struct(f"<{len(size)}s{count}dB").pack, size


def doubles(values: Sequence[float]) -> bytes:
    """array<double>"""
    if not values:
        return EMPTY
    pack, size = _doubles(len(values))
    return pack(size, *values, 0)
