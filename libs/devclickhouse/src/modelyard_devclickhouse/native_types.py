"""ClickHouse data types in their binary encoding: their names and the layout of their values in Native blocks.

The engine writes types in binary here because its text drops the time zone of DateTime, as for the oldest clients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from modelyard_devclickhouse.errors import ClickHouseError

_PLAIN: Final = {
    0x00: ("Nothing", 1), 0x01: ("UInt8", 1), 0x02: ("UInt16", 2), 0x03: ("UInt32", 4), 0x04: ("UInt64", 8),
    0x05: ("UInt128", 16), 0x06: ("UInt256", 32), 0x07: ("Int8", 1), 0x08: ("Int16", 2), 0x09: ("Int32", 4),
    0x0A: ("Int64", 8), 0x0B: ("Int128", 16), 0x0C: ("Int256", 32), 0x0D: ("Float32", 4), 0x0E: ("Float64", 8),
    0x0F: ("Date", 2), 0x10: ("Date32", 4), 0x11: ("DateTime", 4), 0x1D: ("UUID", 16), 0x28: ("IPv4", 4),
    0x29: ("IPv6", 16), 0x2D: ("Bool", 1), 0x31: ("BFloat16", 2), 0x32: ("Time", 4),
}  # fmt: skip
_INTERVALS: Final = (
    *("Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter"),
    "Year",
)
_DECIMALS: Final = {0x19: 4, 0x1A: 8, 0x1B: 16, 0x1C: 32}
_GEO: Final = {"Point": 0, "Ring": 1, "LineString": 1, "MultiPoint": 1, "Polygon": 2, "MultiLineString": 2}
_GEO_DEEPEST: Final = {"MultiPolygon": 3}
_DEFAULT_JSON_PATHS: Final = 1024
_DEFAULT_DYNAMIC_TYPES: Final = 32


@dataclass(frozen=True)
class Type:
    """`text`: the type's name. `layout`: how its values lie in a block; `size` and `inner` belong to the layout."""

    text: str
    layout: str  # fixed, string, array, tuple, nullable, low_cardinality, variant, dynamic, json, opaque
    size: int = 0
    inner: tuple[Type, ...] = field(default=())


STRING: Final = Type("String", "string")
SHARED_VARIANT: Final = Type("SharedVariant", "string")
SHARED_DATA: Final = Type("", "array", inner=(Type("", "tuple", inner=(STRING, STRING)),))
"""The paths of JSON values that have no column of their own."""


class Incomplete(Exception):
    """The type's encoding is not complete yet."""


class Encoded:
    """A reader of encoded types in a buffer. Raises Incomplete at its end."""

    def __init__(self, data: bytes | bytearray, at: int = 0) -> None:
        self._data, self.at = data, at

    def byte(self) -> int:
        if self.at >= len(self._data):
            raise Incomplete
        self.at += 1
        return self._data[self.at - 1]

    def varuint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text(self) -> str:
        size = self.varuint()
        if self.at + size > len(self._data):
            raise Incomplete
        self.at += size
        return bytes(self._data[self.at - size : self.at]).decode(errors="surrogateescape")

    def type(self) -> Type:
        """Read one type. Raises ClickHouseError for a type that cannot be sent to clients of this revision."""
        tag = self.byte()
        if tag in _PLAIN:
            return Type(_PLAIN[tag][0], "fixed", _PLAIN[tag][1])
        if tag in _DECIMALS:
            return Type(f"Decimal({self.byte()}, {self.byte()})", "fixed", _DECIMALS[tag])
        if tag not in _READERS:
            raise _unsupported(f"a type (code {tag:#x})")
        return _READERS[tag](self)

    def types(self) -> tuple[Type, ...]:
        return tuple(self.type() for _ in range(self.varuint()))

    def named_types(self) -> tuple[tuple[str, Type], ...]:
        return tuple((self.text(), self.type()) for _ in range(self.varuint()))


def _unsupported(what: str) -> ClickHouseError:
    return ClickHouseError(
        48,
        "NOT_IMPLEMENTED",
        f"{what} cannot be sent to this client: convert the column, for example with finalizeAggregation or toString.",
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _identifier(text: str) -> str:
    plain = text.isascii() and text.isidentifier()
    return text if plain else "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _zoned(name: str, size: int, *, precision: bool, zone: bool) -> Callable[[Encoded], Type]:
    def read(encoded: Encoded) -> Type:
        arguments = [str(encoded.byte())] if precision else []
        arguments += [_quoted(encoded.text())] if zone else []
        return Type(f"{name}({', '.join(arguments)})", "fixed", size)

    return read


def _enum(name: str, size: int) -> Callable[[Encoded], Type]:
    def read(encoded: Encoded) -> Type:
        pairs = []
        for _ in range(encoded.varuint()):
            label = _quoted(encoded.text())
            value = int.from_bytes(bytes(encoded.byte() for _ in range(size)), "little", signed=True)
            pairs.append(f"{label} = {value}")
        return Type(f"{name}({', '.join(pairs)})", "fixed", size)

    return read


def _fixed_string(encoded: Encoded) -> Type:
    size = encoded.varuint()
    return Type(f"FixedString({size})", "fixed", size)


def _wrapped(name: str, layout: str) -> Callable[[Encoded], Type]:
    def read(encoded: Encoded) -> Type:
        inner = encoded.type()
        return Type(f"{name}({inner.text})", layout, inner=(inner,))

    return read


def _many(name: str, layout: str) -> Callable[[Encoded], Type]:
    def read(encoded: Encoded) -> Type:
        inner = encoded.types()
        return Type(f"{name}({', '.join(t.text for t in inner)})", layout, inner=inner)

    return read


def _named(name: str, *, array: bool) -> Callable[[Encoded], Type]:
    def read(encoded: Encoded) -> Type:
        pairs = encoded.named_types()
        text = f"{name}({', '.join(f'{_identifier(label)} {t.text}' for label, t in pairs)})"
        row = Type(text, "tuple", inner=tuple(t for _, t in pairs))
        return Type(text, "array", inner=(row,)) if array else row

    return read


def _map(encoded: Encoded) -> Type:
    key, value = encoded.type(), encoded.type()
    row = Type("", "tuple", inner=(key, value))
    return Type(f"Map({key.text}, {value.text})", "array", inner=(row,))


def _interval(encoded: Encoded) -> Type:
    return Type("Interval" + _INTERVALS[encoded.byte()], "fixed", 8)


def _dynamic(encoded: Encoded) -> Type:
    most = encoded.byte()
    return Type("Dynamic" if most == _DEFAULT_DYNAMIC_TYPES else f"Dynamic(max_types={most})", "dynamic")


def _custom(encoded: Encoded) -> Type:
    name = encoded.text()
    depth = {**_GEO, **_GEO_DEEPEST}.get(name)
    if depth is None:
        raise _unsupported(f"the type {name}")
    number = Type("Float64", "fixed", 8)
    found = Type(name, "tuple", inner=(number, number))
    for _ in range(depth):
        found = Type(name, "array", inner=(found,))
    return found


def _simple_aggregate(encoded: Encoded) -> Type:
    function, parameters = encoded.text(), encoded.varuint()
    if parameters:
        raise _unsupported(f"SimpleAggregateFunction({function}) with parameters")
    arguments = encoded.types()
    text = ", ".join([function, *(t.text for t in arguments)])
    return Type(f"SimpleAggregateFunction({text})", arguments[0].layout, arguments[0].size, arguments[0].inner)


def _aggregate(encoded: Encoded) -> Type:
    raise _unsupported("the state of an aggregate function")


def _json(encoded: Encoded) -> Type:
    encoded.byte()  # version of the encoding
    paths, types = encoded.varuint(), encoded.byte()
    typed = sorted(encoded.named_types())
    skipped = [f"SKIP {_path(encoded.text())}" for _ in range(encoded.varuint())]
    skipped += [f"SKIP REGEXP {_quoted(encoded.text())}" for _ in range(encoded.varuint())]
    arguments = [f"max_dynamic_types={types}"] if types != _DEFAULT_DYNAMIC_TYPES else []
    arguments += [f"max_dynamic_paths={paths}"] if paths != _DEFAULT_JSON_PATHS else []
    arguments += [f"{_path(path)} {t.text}" for path, t in typed] + skipped
    text = f"JSON({', '.join(arguments)})" if arguments else "JSON"
    return Type(text, "json", inner=tuple(t for _, t in typed))


def _path(path: str) -> str:
    return ".".join(_identifier(part) for part in path.split("."))


_READERS: Final[dict[int, Callable[[Encoded], Type]]] = {
    0x12: _zoned("DateTime", 4, precision=False, zone=True),
    0x13: _zoned("DateTime64", 8, precision=True, zone=False),
    0x14: _zoned("DateTime64", 8, precision=True, zone=True),
    0x15: lambda _: STRING,
    0x16: _fixed_string,
    0x17: _enum("Enum8", 1),
    0x18: _enum("Enum16", 2),
    0x1E: _wrapped("Array", "array"),
    0x1F: _many("Tuple", "tuple"),
    0x20: _named("Tuple", array=False),
    0x22: _interval,
    0x23: _wrapped("Nullable", "nullable"),
    0x25: _aggregate,
    0x26: _wrapped("LowCardinality", "low_cardinality"),
    0x27: _map,
    0x2A: _many("Variant", "variant"),
    0x2B: _dynamic,
    0x2C: _custom,
    0x2E: _simple_aggregate,
    0x2F: _named("Nested", array=True),
    0x30: _json,
    0x34: _zoned("Time64", 8, precision=True, zone=False),
}
