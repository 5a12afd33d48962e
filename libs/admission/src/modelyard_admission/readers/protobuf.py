"""The wire format of protocol buffers, read strictly: fields of one message, without a schema.

Format: https://protobuf.dev/programming-guides/encoding/. Groups (wire types 3 and 4) are refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `value` is the number of a varint; of every other type the content is data[start:end]."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def fields(data: Data, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in data[start:end], in order."""
    at = start
    while at < end:
        key, at = varint(data, at, end)
        field = _field(data, key, at, end)
        if field.number == 0 or field.end > end:
            raise Malformed("holds a field that reaches past its message", f"byte {at}")
        yield field
        at = field.end


def _field(data: Data, key: int, at: int, end: int) -> Field:
    number, wire = key >> 3, key & 7
    if wire == VARINT:
        value, after = varint(data, at, end)
        return Field(number, wire, value, at, after)
    if wire == BYTES:
        size, start = varint(data, at, end)
        return Field(number, wire, 0, start, start + size)
    if wire in {FIXED64, FIXED32}:
        return Field(number, wire, 0, at, at + (8 if wire == FIXED64 else 4))
    raise Malformed(f"holds a field of wire type {wire}", f"byte {at}")


def varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """(value, position after it); at most ten bytes."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise Malformed("ends inside of a number", f"byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Malformed("holds a number of more than ten bytes", f"byte {at}")


def text(data: Data, field: Field) -> str:
    """A string field. Malformed if it is no UTF-8."""
    if field.wire != BYTES:
        raise Malformed(f"holds a number where field {field.number} is a text", f"byte {field.start}")
    try:
        return data[field.start : field.end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"holds a text in field {field.number} that is no UTF-8", f"byte {field.start}") from error


def numbers(data: Data, field: Field) -> list[int]:
    """A repeated number, packed or not."""
    if field.wire == VARINT:
        return [field.value]
    found, at = [], field.start
    while at < field.end:
        value, at = varint(data, at, field.end)
        found.append(value)
    return found
