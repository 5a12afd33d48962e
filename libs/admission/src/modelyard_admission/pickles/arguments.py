"""Arguments of opcodes: (value, position after it). Malformed where the file ends or the text is invalid."""

import codecs

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.pickles.values import OPAQUE, Value

MAX_STRING_BYTES = 4096
"""Longer strings cannot be names, so their content is not needed."""
MAX_LINE_BYTES = 64 * 1024 * 1024


def unsigned(data: Data, at: int, size: int) -> tuple[int, int]:
    return int.from_bytes(piece(data, at, size), "little"), at + size


def signed(data: Data, at: int, size: int) -> tuple[int, int]:
    return int.from_bytes(piece(data, at, size), "little", signed=True), at + size


def piece(data: Data, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise Malformed("ends in the middle of an opcode")
    return data[at : at + size]


def counted(data: Data, at: int, size: int) -> tuple[int, int]:
    """(start, end) of a payload that follows its length of `size` bytes."""
    length, start = unsigned(data, at, size)
    if length > len(data) - start:
        raise Malformed(f"names a length of {length} bytes, which reach past the end")
    return start, start + length


def text(data: Data, at: int, size: int, encoding: str = "utf-8") -> tuple[Value, int]:
    """A counted string; OPAQUE when it is too long to be a name."""
    start, end = counted(data, at, size)
    if end - start > MAX_STRING_BYTES:
        return OPAQUE, end
    return decoded(data[start:end], encoding), end


def line(data: Data, at: int) -> tuple[bytes, int]:
    """Bytes up to the next newline, without it."""
    end = data.find(b"\n", at, at + MAX_LINE_BYTES)
    if end < 0:
        raise Malformed("has an argument of a line without its end")
    return data[at:end], end + 1


def decoded(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise Malformed(f"holds a string that is not {encoding}") from error


def integer(raw: bytes) -> Value:
    """A decimal number; OPAQUE when it is too long to be an index or a length."""
    if len(raw) > 30:
        return OPAQUE
    try:
        return int(raw)
    except ValueError as error:
        raise Malformed("holds a number that is no decimal integer") from error


def quoted(raw: bytes) -> str:
    """The string of the opcode STRING, which is quoted and escaped as in Python 2."""
    body = raw.strip()
    if len(body) < 2 or body[:1] != body[-1:] or body[:1] not in {b'"', b"'"}:
        raise Malformed("holds a string without quotes")
    try:
        return codecs.escape_decode(body[1:-1])[0].decode("latin-1")
    except ValueError as error:
        raise Malformed("holds a string with an invalid escape") from error
