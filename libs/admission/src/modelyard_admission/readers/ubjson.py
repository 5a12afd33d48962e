"""UBJSON (draft 12) as XGBoost writes it: the structure is walked, the values are skipped.

Format: https://ubjson.org. Arrays may be strongly typed, which is how the numbers of trees are stored.
"""

from typing import Final

from modelyard_admission.buffers import Data, take
from modelyard_admission.errors import Malformed

_FIXED: Final = {
    b"i": 1,
    b"U": 1,
    b"I": 2,
    b"l": 4,
    b"L": 8,
    b"d": 4,
    b"D": 8,
    b"C": 1,
    b"Z": 0,
    b"T": 0,
    b"F": 0,
    b"N": 0,
}
_INTEGERS: Final = frozenset({b"i", b"U", b"I", b"l", b"L"})
MAX_DEPTH: Final = 64


def check(data: Data) -> None:
    """Malformed unless the file is one UBJSON object from its first byte to its last."""
    end = _value(data, data[:1], 1, 0)
    if end != len(data):
        raise Malformed(f"has {len(data) - end} bytes after its end", f"byte {end}")


def _value(data: Data, mark: bytes, at: int, depth: int) -> int:
    """Position after the value of type `mark` whose content starts at `at`."""
    if depth > MAX_DEPTH:
        raise Malformed(f"nests values deeper than {MAX_DEPTH}")
    if mark in _FIXED:
        return _skip(data, at, _FIXED[mark])
    if mark in {b"S", b"H"}:
        size, at = _length(data, at)
        return _skip(data, at, size)
    if mark == b"[":
        return _array(data, at, depth)
    if mark == b"{":
        return _object(data, at, depth)
    raise Malformed(f"has the unknown type {mark!r}", f"byte {at}")


def _skip(data: Data, at: int, size: int) -> int:
    if at + size > len(data):
        raise Malformed("ends inside of a value", f"byte {at}")
    return at + size


def _length(data: Data, at: int) -> tuple[int, int]:
    mark = take(data, at, 1)
    if mark not in _INTEGERS:
        raise Malformed("has a length that is no integer", f"byte {at}")
    size = int.from_bytes(take(data, at + 1, _FIXED[mark]), "big", signed=mark != b"U")
    if size < 0:
        raise Malformed("has a negative length", f"byte {at}")
    return size, at + 1 + _FIXED[mark]


def _array(data: Data, at: int, depth: int) -> int:
    if take(data, at, 1) == b"$":
        kind = take(data, at + 1, 1)
        if kind not in _FIXED or take(data, at + 2, 1) != b"#":
            raise Malformed("has a typed array that is not of numbers", f"byte {at}")
        count, at = _length(data, at + 3)
        return _skip(data, at, count * _FIXED[kind])
    if take(data, at, 1) == b"#":
        count, at = _length(data, at + 1)
        for _ in range(count):
            at = _value(data, take(data, at, 1), at + 1, depth + 1)
        return at
    while (mark := take(data, at, 1)) != b"]":
        at = _value(data, mark, at + 1, depth + 1)
    return at + 1


def _object(data: Data, at: int, depth: int) -> int:
    while take(data, at, 1) != b"}":
        size, at = _length(data, at)
        at = _skip(data, at, size)
        at = _value(data, take(data, at, 1), at + 1, depth + 1)
    return at + 1
