"""Readers and writers of the protocol's basic types.

A reader takes (buffer, position) and returns (value, new position); a writer appends bytes to a list of chunks.
Compact forms (varint lengths) belong to the flexible versions of an API.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

Reader = Callable[[memoryview, int], tuple[Any, int]]
Writer = Callable[[list[bytes], Any], None]


class MalformedMessage(ValueError):
    """The bytes violate the message definition; the connection is closed."""


def fixed(form: str, kind: type) -> tuple[Reader, Writer]:
    """A type of fixed width, such as int32."""
    layout = struct.Struct(form)

    def read(buffer: memoryview, at: int) -> tuple[Any, int]:
        return layout.unpack_from(buffer, at)[0], at + layout.size

    def write(out: list[bytes], value: Any) -> None:
        out.append(layout.pack(kind(value or 0)))

    return read, write


def read_varint(buffer: memoryview, at: int) -> tuple[int, int]:
    """An unsigned varint, at most 35 bits."""
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 28:
            raise MalformedMessage("varint longer than five bytes")


def write_varint(out: list[bytes], value: int) -> None:
    while value > 0x7F:
        out.append(bytes((value & 0x7F | 0x80,)))
        value >>= 7
    out.append(bytes((value,)))


_LENGTHS: Final = {"string": struct.Struct(">h"), "bytes": struct.Struct(">i"), "array": struct.Struct(">i")}


def length(kind: str, flexible: bool) -> tuple[Callable[[memoryview, int], tuple[int, int]], Writer]:
    """Encoding of the length of a string, bytes or array; -1 is null."""
    if flexible:
        return _compact_length, lambda out, size: write_varint(out, size + 1)
    layout = _LENGTHS[kind]

    def read(buffer: memoryview, at: int) -> tuple[int, int]:
        return layout.unpack_from(buffer, at)[0], at + layout.size

    return read, lambda out, size: out.append(layout.pack(size))


def _compact_length(buffer: memoryview, at: int) -> tuple[int, int]:
    size, at = read_varint(buffer, at)
    return size - 1, at


def text(flexible: bool) -> tuple[Reader, Writer]:
    read_length, write_length = length("string", flexible)

    def read(buffer: memoryview, at: int) -> tuple[str | None, int]:
        size, at = read_length(buffer, at)
        return (None, at) if size < 0 else (str(_slice(buffer, at, size), "utf-8"), at + size)

    def write(out: list[bytes], value: str | None) -> None:
        if value is None:
            write_length(out, -1)
        else:
            encoded = value.encode()
            write_length(out, len(encoded))
            out.append(encoded)

    return read, write


def blob(flexible: bool) -> tuple[Reader, Writer]:
    """Read bytes as a view of the request; the caller copies them if it keeps them."""
    read_length, write_length = length("bytes", flexible)

    def read(buffer: memoryview, at: int) -> tuple[memoryview | None, int]:
        size, at = read_length(buffer, at)
        return (None, at) if size < 0 else (_slice(buffer, at, size), at + size)

    def write(out: list[bytes], value: bytes | None) -> None:
        if value is None:
            write_length(out, -1)
        else:
            write_length(out, len(value))
            out.append(value)

    return read, write


def _slice(buffer: memoryview, at: int, size: int) -> memoryview:
    if at + size > len(buffer):
        raise MalformedMessage(f"a field of {size} bytes does not fit into the message")
    return buffer[at : at + size]


FIXED: Final = {
    "bool": fixed(">?", bool),
    "int8": fixed(">b", int),
    "int16": fixed(">h", int),
    "int32": fixed(">i", int),
    "int64": fixed(">q", int),
}
