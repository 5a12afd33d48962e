"""Message definitions as text, compiled once per version into readers and writers.

One line per field, `name type [versions] [=default]`; a name with `[` opens an array of records, `]` closes it:

    topics [
      name string
      leader_epoch int32 9+ =-1
      partitions [int32]
    ]

Versions are `3+`, `0-2` or `5`; without them the field is in every version. A field that a version does not carry is
read as its default. Strings, bytes and arrays may be null; handlers check where that matters.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from modelyard_devkafka.wire import primitives
from modelyard_devkafka.wire.primitives import MalformedMessage, Reader, Writer

Message = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field; `members` is set for an array of records, `array` for any array."""

    name: str
    kind: str
    first: int = 0
    last: int = 999
    default: Any = None
    array: bool = False
    members: tuple[Field, ...] | None = field(default=None)

    def empty(self) -> Any:
        """The field's default in versions that do not carry it."""
        if self.array:
            return []
        return self.default if self.default is not None or self.kind in ("string", "bytes") else 0


def parse(text: str) -> tuple[Field, ...]:
    """Parse a definition; raises ValueError on an invalid line."""
    return tuple(_parse(iter([line.split() for line in text.splitlines() if line.strip()])))


def _parse(lines: Iterator[list[str]]) -> list[Field]:
    fields: list[Field] = []
    for words in lines:
        if words == ["]"]:
            return fields
        fields.append(_field(words, lines))
    return fields


def _field(words: list[str], lines: Iterator[list[str]]) -> Field:
    name, kind, *rest = words
    first, last, default = 0, 999, None
    for word in rest:
        if word.startswith("="):
            default = int(word[1:])
        else:
            low, _, high = word.partition("-")
            first, last = (int(word[:-1]), 999) if word.endswith("+") else (int(low), int(high or low))
    if kind == "[":
        return Field(name, "record", first, last, None, True, tuple(_parse(lines)))
    if kind.startswith("["):
        return Field(name, kind[1:-1], first, last, None, True)
    return Field(name, kind, first, last, default)


@dataclass(frozen=True)
class Codec:
    """The reader and writer of one message in one version."""

    read: Reader
    write: Writer

    def decode(self, body: memoryview) -> Message:
        """Raises MalformedMessage if the bytes violate the definition."""
        try:
            return self.read(body, 0)[0]  # type: ignore[no-any-return]
        except (struct.error, IndexError, UnicodeDecodeError) as problem:
            raise MalformedMessage(str(problem)) from problem

    def encode(self, message: Message) -> list[bytes]:
        """Return the message in chunks, so that record bytes are not copied."""
        out: list[bytes] = []
        self.write(out, message)
        return out


@cache
def codec(fields: tuple[Field, ...], version: int, flexible: bool) -> Codec:
    """Compile the definition for one version."""
    return Codec(*_record(fields, version, flexible))


def _record(fields: tuple[Field, ...], version: int, flexible: bool) -> tuple[Reader, Writer]:
    present = [f for f in fields if f.first <= version <= f.last]
    absent = {f.name: f.empty() for f in fields if f not in present and not f.array}
    absent_arrays = [f.name for f in fields if f not in present and f.array]
    readers = [(f.name, _value(f, version, flexible)[0]) for f in present]
    writers = [(f.name, f.empty(), _value(f, version, flexible)[1]) for f in present]

    def read(buffer: memoryview, at: int) -> tuple[Message, int]:
        message = dict(absent)
        for name in absent_arrays:
            message[name] = []
        for name, reader in readers:
            message[name], at = reader(buffer, at)
        if flexible:
            at = _skip_tags(buffer, at)
        return message, at

    def write(out: list[bytes], message: Message) -> None:
        for name, default, writer in writers:
            writer(out, message.get(name, default))
        if flexible:
            out.append(b"\0")

    return read, write


def _value(f: Field, version: int, flexible: bool) -> tuple[Reader, Writer]:
    if f.members is not None:
        item = _record(f.members, version, flexible)
    elif f.kind == "string":
        item = primitives.text(flexible)
    elif f.kind == "bytes":
        item = primitives.blob(flexible)
    else:
        item = primitives.FIXED[f.kind]
    return _array(*item, flexible) if f.array else item


def _array(read_item: Reader, write_item: Writer, flexible: bool) -> tuple[Reader, Writer]:
    read_length, write_length = primitives.length("array", flexible)

    def read(buffer: memoryview, at: int) -> tuple[list[Any] | None, int]:
        count, at = read_length(buffer, at)
        if count < 0:
            return None, at
        if count > len(buffer) - at:
            raise MalformedMessage(f"an array of {count} items does not fit into the message")
        items = []
        for _ in range(count):
            item, at = read_item(buffer, at)
            items.append(item)
        return items, at

    def write(out: list[bytes], items: list[Any] | None) -> None:
        write_length(out, -1 if items is None else len(items))
        for item in items or ():
            write_item(out, item)

    return read, write


def _skip_tags(buffer: memoryview, at: int) -> int:
    count, at = primitives.read_varint(buffer, at)
    for _ in range(count):
        _, at = primitives.read_varint(buffer, at)
        size, at = primitives.read_varint(buffer, at)
        at += size
    return at
