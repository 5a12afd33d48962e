"""Texts and JSON, decoded strictly."""

import json
from typing import Any

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Deceptive, Malformed

_CONTROL = frozenset(range(32)) - {0x09, 0x0A, 0x0C, 0x0D, 0x1B}


def is_text(sample: bytes, *, cut: bool) -> bool:
    """True for UTF-8 without control characters. cut: the sample may end inside of a character."""
    if _CONTROL & set(sample):
        return False
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return cut and error.start >= len(sample) - 3
    return True


def decode(data: Data, limit_bytes: int) -> str:
    if len(data) > limit_bytes:
        raise Malformed(f"has {len(data)} bytes of text; at most {limit_bytes} are read")
    try:
        return data[:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("is no UTF-8 text", f"byte {error.start}") from error


def read_json(data: Data, limit_bytes: int) -> Any:
    """A JSON document. Deceptive if an object has a key twice, as readers differ in which one they keep."""
    try:
        return json.loads(decode(data, limit_bytes), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"is no readable JSON ({type(error).__name__}: {error})"[:200]) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise Deceptive(f"has the key {next(key for key in keys if keys.count(key) > 1)!r} twice in one object"[:200])
    return found
