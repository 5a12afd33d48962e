"""The header of .npy files, read strictly.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1 to 3.
"""

import ast
import re
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from modelyard_admission.buffers import Data, take
from modelyard_admission.errors import Malformed

MAX_HEADER_BYTES: Final = 1024 * 1024
_SIMPLE: Final = re.compile(r"[<>|=]?([biufcmMSUVO])(\d*)(?:\[\w+\])?")


@dataclass(frozen=True, slots=True)
class Array:
    """An array whose values are data[start:] of the file. `dtype` is numpy's description, such as `<f4`."""

    dtype: Any
    shape: tuple[int, ...]
    fortran_order: bool
    start: int
    item_bytes: int | None
    """None for Python objects, which are a pickle."""


def read_array(data: Data) -> Array:
    """Malformed if the header is invalid, or the file is shorter or longer than the array."""
    version = take(data, 6, 2)[0]
    width = 2 if version == 1 else 4
    size = int.from_bytes(take(data, 8, width), "little")
    if version not in {1, 2, 3} or size > MAX_HEADER_BYTES:
        raise Malformed(f"has a header of version {version} and {size} bytes")
    header = _header(take(data, 8 + width, size))
    array = _array(header, 8 + width + size)
    if array.item_bytes is not None and array.start + prod(array.shape) * array.item_bytes != len(data):
        raise Malformed(f"holds {len(data) - array.start} bytes, which are not {array.shape} of {array.dtype!r}")
    return array


def _header(raw: bytes) -> dict[str, Any]:
    try:
        header = ast.literal_eval(raw.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise Malformed("has a header that is no dictionary of literals") from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise Malformed("has a header with other keys than descr, fortran_order and shape")
    return header


def _array(header: dict[str, Any], start: int) -> Array:
    shape, order = header["shape"], header["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise Malformed("has a shape that is no tuple of counts")
    if not isinstance(order, bool):
        raise Malformed("has an order that is no truth value")
    return Array(header["descr"], shape, order, start, item_bytes(header["descr"]))


def item_bytes(description: Any) -> int | None:
    """Bytes of one item of a data type as numpy describes it; None if it holds Python objects."""
    if isinstance(description, str):
        return _simple_bytes(description)
    if not isinstance(description, list) or not description:
        raise Malformed("has a data type that is neither a name nor a list of fields")
    sizes = [_field_bytes(entry) for entry in description]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _simple_bytes(description: str) -> int | None:
    match = _SIMPLE.fullmatch(description)
    if match is None:
        raise Malformed(f"has the unknown data type {description[:50]!r}")
    if match[1] == "O":
        return None
    return int(match[2] or 0) * (4 if match[1] == "U" else 1)


def _field_bytes(entry: Any) -> int | None:
    if not isinstance(entry, tuple) or len(entry) not in {2, 3}:
        raise Malformed("has a field that is no pair of name and type")
    size = item_bytes(entry[1])
    shape = entry[2] if len(entry) == 3 else ()
    if not isinstance(shape, tuple) or not all(type(count) is int for count in shape):
        raise Malformed("has a field whose shape is no tuple of counts")
    return None if size is None else size * prod(shape)
