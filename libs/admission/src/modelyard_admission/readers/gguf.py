"""GGUF files: metadata and the table of tensors, read strictly.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

import itertools
from dataclasses import dataclass
from math import prod
from typing import Final

from modelyard_admission.buffers import Data, take
from modelyard_admission.errors import Malformed

_WIDTHS: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
MAX_ENTRIES: Final = 100_000
MAX_ARRAY_ITEMS: Final = 50_000_000
MAX_STRING_BYTES: Final = 16 * 1024 * 1024
MAX_DIMENSIONS: Final = 8
BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66),
}  # fmt: skip
"""(values, bytes) of one block by type of ggml."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Values are data[start:end]; `type` is the number of ggml's type."""

    name: str
    type: int
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class File:
    metadata: dict[str, object]
    """Strings and numbers; None for arrays, whose content no rule needs."""
    tensors: tuple[Tensor, ...]


class _Cursor:
    def __init__(self, data: Data, at: int) -> None:
        self.data, self.at = data, at

    def bytes(self, size: int) -> bytes:
        found = take(self.data, self.at, size)
        self.at += size
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "little")

    def count(self, most: int, what: str) -> int:
        found = self.number(8)
        if found > most:
            raise Malformed(f"states {found} {what}; at most {most} are read", f"byte {self.at}")
        return found

    def string(self) -> str:
        try:
            return self.bytes(self.count(MAX_STRING_BYTES, "bytes of a text")).decode("utf-8", "surrogateescape")
        except ValueError as error:
            raise Malformed("holds a text that is no UTF-8", f"byte {self.at}") from error

    def skip(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise Malformed(f"ends inside of its metadata, at byte {len(self.data)}")
        self.at += size


def read_gguf(data: Data) -> File:
    """Malformed if a count, a type or an offset does not fit the file."""
    cursor = _Cursor(data, 4)
    version = cursor.number(4)
    if version not in {2, 3}:
        raise Malformed(f"is of version {version}; 2 and 3 are read")
    tensor_count = cursor.count(MAX_ENTRIES, "tensors")
    entry_count = cursor.count(MAX_ENTRIES, "entries of metadata")
    metadata = _metadata(cursor, entry_count)
    described = [_tensor(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment > 1 << 20:
        raise Malformed(f"states the alignment {alignment!r}")
    base = -(-cursor.at // alignment) * alignment
    tensors = tuple(_placed(data, base, alignment, *entry) for entry in described)
    _check_apart(tensors)
    return File(metadata, tensors)


def _metadata(cursor: _Cursor, count: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(count):
        key = cursor.string()
        if key in found:
            raise Malformed(f"has the key {key[:100]!r} twice")
        found[key] = _value(cursor, cursor.number(4), 0)
    return found


def _value(cursor: _Cursor, kind: int, depth: int) -> object:
    if kind == _STRING:
        return cursor.string()
    if kind == _ARRAY:
        _skip_array(cursor, depth)
        return None
    if kind not in _WIDTHS:
        raise Malformed(f"holds a value of the unknown type {kind}", f"byte {cursor.at}")
    return cursor.number(_WIDTHS[kind])


def _skip_array(cursor: _Cursor, depth: int) -> None:
    kind, count = cursor.number(4), cursor.count(MAX_ARRAY_ITEMS, "items of an array")
    if depth > 4:
        raise Malformed("nests arrays deeper than 4")
    if kind in _WIDTHS:
        cursor.skip(count * _WIDTHS[kind])
        return
    for _ in range(count):
        _value(cursor, kind, depth + 1)


def _tensor(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.string()
    dimensions = cursor.number(4)
    if dimensions > MAX_DIMENSIONS:
        raise Malformed(f"gives {name[:100]!r} {dimensions} dimensions")
    shape = tuple(cursor.number(8) for _ in range(dimensions))
    return name, shape, cursor.number(4), cursor.number(8)


def _placed(data: Data, base: int, alignment: int, name: str, shape: tuple[int, ...], kind: int, offset: int) -> Tensor:
    values, size = BLOCKS.get(kind, (0, 0))
    if not values or prod(shape) % values or offset % alignment:
        raise Malformed(f"gives {name[:100]!r} the type {kind} and the offset {offset}, which do not fit", name[:100])
    start = base + offset
    end = start + prod(shape) // values * size
    if end > len(data):
        raise Malformed(f"places {name[:100]!r} past the end of the file", name[:100])
    return Tensor(name, kind, shape, start, end)


def _check_apart(tensors: tuple[Tensor, ...]) -> None:
    ordered = sorted(tensors, key=lambda tensor: (tensor.start, tensor.end))
    for earlier, later in itertools.pairwise(ordered):
        if earlier.end > later.start:
            raise Malformed(f"places {later.name[:100]!r} over {earlier.name[:100]!r}", later.name[:100])
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise Malformed("has two tensors of one name")
