"""Native blocks for clients that state their protocol revision (`client_protocol_version`).

The engine writes revision 0 only. Later revisions put a block info before each block and a byte after each type, and
keep the time zone of DateTime. So the blocks are walked through as they pass, and the differences are inserted; values
are neither decoded nor changed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from modelyard_devclickhouse.errors import ClickHouseError
from modelyard_devclickhouse.native_types import SHARED_DATA, SHARED_VARIANT, Encoded, Incomplete, Type

TYPES_IN_BINARY: Final = "output_format_native_encode_types_in_binary_format"
"""The setting that the engine needs for a result that passes through here."""
_WITH_ZONE: Final = 54337
_WITH_SERIALIZATION_KIND: Final = 54454
_BLOCK_INFO: Final = bytes.fromhex("010002ffffffff00")  # no overflow rows, no bucket
_DEFAULT_KIND: Final = b"\0"
_NULL: Final = 255
_ADDITIONAL_KEYS: Final = 0x200
_JSON_AS_STRING: Final = 1
_FLATTENED: Final = 3

Walk = Generator[None, None, None]
Read = Generator[None, None, int]


class Reencoder:
    """From revision 0 with binary types to `revision`. Accepts pieces cut anywhere."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._data, self._at, self._sent = bytearray(), 0, 0
        self._held: int | None = None  # where a type begins that is not complete yet
        self._out: list[bytes] = []
        self._between_blocks = True
        self._variants: dict[int, tuple[Type, ...]] = {}
        self._blocks = self._walk()

    def feed(self, data: bytes) -> bytes:
        """Return the output for `data`. Raises ClickHouseError for types that cannot be sent."""
        self._data += data
        next(self._blocks)
        out, self._out = b"".join(self._out), []
        return out

    def end(self) -> None:
        """Raise ClickHouseError if the data ended within a block."""
        if not self._between_blocks or self._at > len(self._data):
            raise ClickHouseError(33, "CANNOT_READ_ALL_DATA", "the result ended in the middle of a Native block")

    # Reading: `_at` may run past the buffer, which skips data that has not arrived yet.

    def _pause(self) -> Walk:
        """Send what was passed and wait for more data."""
        self._send()
        cut = min(self._sent, len(self._data))
        del self._data[:cut]
        self._at, self._sent = self._at - cut, self._sent - cut
        if self._held is not None:
            self._held -= cut
        yield

    def _send(self) -> None:
        end = min(self._at if self._held is None else self._held, len(self._data))
        if end > self._sent:
            self._out.append(bytes(self._data[self._sent : end]))
            self._sent = end

    def _insert(self, text: bytes) -> None:
        self._send()
        self._out.append(text)

    def _ensure(self, size: int) -> Walk:
        while len(self._data) - self._at < size:
            yield from self._pause()

    def _integer(self, size: int = 8) -> Read:
        yield from self._ensure(size)
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "little")

    def _varuint(self) -> Read:
        value = shift = 0
        while True:
            byte = yield from self._integer(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _type(self, *, after: bytes = b"", top: bool = False) -> Generator[None, None, Type]:
        """Read a type and send its name instead of its binary encoding."""
        self._send()
        self._held = self._at
        while True:
            encoded = Encoded(self._data, self._at)
            try:
                found = encoded.type()
                break
            except Incomplete:
                yield from self._pause()
        self._at = self._sent = encoded.at
        self._held = None
        text = found.text.encode(errors="surrogateescape")
        if top and self._revision < _WITH_ZONE and text.startswith(b"DateTime("):
            text = b"DateTime"
        self._out.append(varuint(len(text)) + text + after)
        return found

    # Walking

    def _walk(self) -> Walk:
        after = _DEFAULT_KIND if self._revision >= _WITH_SERIALIZATION_KIND else b""
        while True:
            self._between_blocks = True
            yield from self._ensure(1)
            self._between_blocks = False
            self._insert(_BLOCK_INFO)
            columns, rows = (yield from self._varuint()), (yield from self._varuint())
            for _ in range(columns):
                yield from self._strings(1)
                yield from self._ensure(0)
                kind = yield from self._type(after=after, top=True)
                if rows:
                    self._variants.clear()
                    yield from self._prefix(kind)
                    yield from self._values(kind, rows)
            self._send()

    def _prefix(self, kind: Type) -> Walk:
        """Walk what precedes the values of a column, for all types within it."""
        if kind.layout == "low_cardinality":
            self._at += 8
        elif kind.layout == "variant":
            self._at += 8
            yield from self._prefixes(kind.inner)
        elif kind.layout == "dynamic":
            yield from self._dynamic_prefix(kind)
        elif kind.layout == "json":
            yield from self._json_prefix(kind)
        else:
            yield from self._prefixes(kind.inner)

    def _prefixes(self, kinds: tuple[Type, ...]) -> Walk:
        for kind in kinds:
            yield from self._prefix(kind)

    def _values(self, kind: Type, rows: int) -> Walk:
        match kind.layout:
            case "fixed":
                self._at += rows * kind.size
            case "string":
                yield from self._strings(rows)
            case "nullable":
                self._at += rows
                yield from self._values(kind.inner[0], rows)
            case "array" if rows:
                self._at += 8 * (rows - 1)
                total = yield from self._integer()
                yield from self._values(kind.inner[0], total)
            case "tuple":
                self._at += 0 if kind.inner else rows
                for inner in kind.inner:
                    yield from self._values(inner, rows)
            case "low_cardinality" if rows:
                yield from self._low_cardinality(kind.inner[0])
            case "variant":
                yield from self._variant(kind.inner, rows)
            case "dynamic":  # flattened or not, the number of each row's type precedes the values
                yield from self._variant(self._variants[id(kind)], rows)
            case "json":
                yield from self._json(kind, rows)

    def _strings(self, count: int) -> Walk:
        while count:
            yield from self._ensure(1)
            data, at, end = self._data, self._at, len(self._data)
            while count and at < end and data[at] < 128:
                at += data[at] + 1
                count -= 1
            self._at = at
            if count and at < end:
                size = yield from self._varuint()
                self._at += size
                count -= 1

    def _low_cardinality(self, inner: Type) -> Walk:
        flags = yield from self._integer()
        if flags & _ADDITIONAL_KEYS:
            keys = yield from self._integer()
            yield from self._values(inner.inner[0] if inner.layout == "nullable" else inner, keys)
        rows = yield from self._integer()
        self._at += rows << (flags & 0xFF)

    def _variant(self, kinds: tuple[Type, ...], rows: int) -> Walk:
        """Discriminators, one byte each, then the values of each type."""
        counts = [0] * len(kinds)
        while rows:
            yield from self._ensure(1)
            part = bytes(self._data[self._at : self._at + rows])
            counts = [count + part.count(number) for number, count in enumerate(counts)]
            self._at += len(part)
            rows -= len(part)
        for kind, count in zip(kinds, counts, strict=True):
            yield from self._values(kind, count)

    def _dynamic_prefix(self, kind: Type) -> Walk:
        version = yield from self._integer()
        if version == 1:
            yield from self._varuint()
        kinds: tuple[Type, ...] = ()
        for _ in range((yield from self._varuint())):
            kinds += ((yield from self._type()),)
        if version != _FLATTENED:
            kinds = tuple(sorted((*kinds, SHARED_VARIANT), key=lambda one: one.text))
            self._at += 8
        elif len(kinds) > _NULL:
            raise ClickHouseError(
                48, "NOT_IMPLEMENTED", "a Dynamic column of more than 255 types cannot be sent flattened"
            )
        self._variants[id(kind)] = kinds
        yield from self._prefixes(kinds)

    def _json_prefix(self, kind: Type) -> Walk:
        version = yield from self._integer()
        if version == _JSON_AS_STRING:
            self._variants[id(kind)] = ()
            return
        if version == 0:
            yield from self._varuint()
        count = yield from self._varuint()
        yield from self._strings(count)
        paths = tuple(Type("Dynamic", "dynamic", size) for size in range(count))
        shared = () if version == _FLATTENED else (SHARED_DATA,)
        self._variants[id(kind)] = (*kind.inner, *paths, *shared)
        yield from self._prefixes((*kind.inner, *paths))

    def _json(self, kind: Type, rows: int) -> Walk:
        columns = self._variants[id(kind)]
        if not columns:
            yield from self._strings(rows)
        for column in columns:
            yield from self._values(column, rows)


def varuint(value: int) -> bytes:
    """Encode an unsigned integer as the formats of ClickHouse do."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
