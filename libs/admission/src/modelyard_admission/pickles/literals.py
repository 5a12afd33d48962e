"""Opcodes that push a value which the stream spells out: numbers, strings, bytes and constants."""

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.pickles import arguments as read
from modelyard_admission.pickles.values import OPAQUE, Value

Reader = Callable[[Data, int], tuple[Value, int]]
"""(value, position after it) of an opcode whose argument starts at a position."""

MAX_SHORT_RUN: Final = 64
"""Longer runs of numbers are data, never a shape, so that their values are not read."""
_BINFLOAT, _BININT = 0x47, 0x4A
_WIDTHS: Final = {_BINFLOAT: 8, _BININT: 4, 0x4D: 2, 0x4B: 1}
_RUNS: Final = {
    code: re.compile(b"(?:" + re.escape(bytes([code])) + b".{%d})+" % width, re.DOTALL)
    for code, width in _WIDTHS.items()
}


def number_run(data: Data, at: int) -> tuple[list[Value], int]:
    """Numbers of one opcode (BINFLOAT, BININT, BININT1 or BININT2) in a row, the first with its argument at `at`."""
    code = data[at - 1]
    width = _WIDTHS[code]
    first = read.piece(data, at, width)
    if data[at + width : at + width + 1] != data[at - 1 : at]:
        return [_number(code, first)], at + width
    match = _RUNS[code].match(data, at - 1)
    end = match.end() if match else at + width
    count = (end - at + 1) // (width + 1)
    if count > MAX_SHORT_RUN:
        return [OPAQUE] * count, end
    return [_number(code, data[start : start + width]) for start in range(at, end, width + 1)], end


def _number(code: int, raw: bytes) -> Value:
    return OPAQUE if code == _BINFLOAT else int.from_bytes(raw, "little", signed=code == _BININT)


def _int_line(data: Data, at: int) -> tuple[Value, int]:
    raw, end = read.line(data, at)
    flags: dict[bytes, Value] = {b"00": False, b"01": True}
    return flags[raw] if raw in flags else read.integer(raw.strip()), end


def _long_line(data: Data, at: int) -> tuple[Value, int]:
    raw, end = read.line(data, at)
    return read.integer(raw.strip().removesuffix(b"L")), end


def _float_line(data: Data, at: int) -> tuple[Value, int]:
    raw, end = read.line(data, at)
    try:
        float(raw)
    except ValueError as error:
        raise Malformed("holds a float that is no number") from error
    return OPAQUE, end


def _long(size: int, data: Data, at: int) -> tuple[Value, int]:
    start, end = read.counted(data, at, size)
    return (OPAQUE if end - start > 16 else int.from_bytes(data[start:end], "little", signed=True)), end


def _string_line(data: Data, at: int) -> tuple[Value, int]:
    raw, end = read.line(data, at)
    return read.quoted(raw), end


def _unicode_line(data: Data, at: int) -> tuple[Value, int]:
    raw, end = read.line(data, at)
    return read.decoded(raw, "raw_unicode_escape"), end


def _text(size: int, encoding: str, data: Data, at: int) -> tuple[Value, int]:
    return read.text(data, at, size, encoding)


def _payload(size: int, data: Data, at: int) -> tuple[Value, int]:
    """Bytes and bytearrays: their content is data."""
    return OPAQUE, read.counted(data, at, size)[1]


def _constant(value: Value, data: Data, at: int) -> tuple[Value, int]:
    return value, at


LITERALS: Final[dict[int, Reader]] = {
    ord("I"): _int_line,
    ord("L"): _long_line,
    ord("F"): _float_line,
    0x8A: partial(_long, 1),
    0x8B: partial(_long, 4),
    ord("S"): _string_line,
    ord("V"): _unicode_line,
    ord("T"): partial(_text, 4, "latin-1"),
    ord("U"): partial(_text, 1, "latin-1"),
    ord("X"): partial(_text, 4, "utf-8"),
    0x8C: partial(_text, 1, "utf-8"),
    0x8D: partial(_text, 8, "utf-8"),
    ord("B"): partial(_payload, 4),
    ord("C"): partial(_payload, 1),
    0x8E: partial(_payload, 8),
    0x96: partial(_payload, 8),
    ord("N"): partial(_constant, None),
    0x88: partial(_constant, True),
    0x89: partial(_constant, False),
    ord(")"): partial(_constant, ()),
}
"""Readers by opcode; the numbers of fixed width are read in runs."""
