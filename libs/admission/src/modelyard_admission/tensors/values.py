"""Tensors whose values are read only when they are digested."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_admission.buffers import Data, chunks
from modelyard_admission.errors import Malformed

Array = NDArray[Any]

WIDTHS: Final = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Bytes of one item by type. The names are numpy's where numpy has the type."""


@dataclass(frozen=True, slots=True)
class Stored:
    """`pieces` yields the little-endian values in C order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class View:
    """A view of the items of a storage; strides and offset count items."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def contiguous(self) -> bool:
        """True if the values follow one another in C order."""
        return self.strides == tuple(prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))

    def fits(self, items: int) -> bool:
        """True if every value is inside of a storage of `items`, and none is used more often than stored."""
        steps = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return not prod(self.shape) or (self.offset + steps < items and prod(self.shape) <= items)


def contiguous(data: Data, name: str, dtype: str, shape: tuple[int, ...], start: int, end: int) -> Stored:
    """Values that are data[start:end] as they are."""
    return Stored(name, dtype, shape, lambda: chunks(data, start, end))


def of_array(name: str, array: Array) -> Stored:
    """An array in memory, of any order of bytes and axes."""

    def pieces() -> Iterator[bytes]:
        yield np.ascontiguousarray(little(array)).tobytes()

    return Stored(name, array.dtype.name, array.shape, pieces)


def little(array: Array) -> Array:
    """The same values in little-endian order."""
    big = array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big")
    return array.astype(array.dtype.newbyteorder("<")) if big else array


def of_storage(data: Data, name: str, dtype: str, span: tuple[int, int], view: View) -> Stored:
    """A view of the storage data[start:end] of `span`. Malformed if it reaches past it."""
    width, (start, end) = WIDTHS[dtype], span
    negative = min((view.offset, *view.shape, *view.strides), default=0) < 0
    if len(view.strides) != len(view.shape) or negative or not view.fits((end - start) // width):
        raise Malformed(f"places the tensor {name!r} past the end of its storage")
    if view.contiguous:
        first = start + view.offset * width
        return contiguous(data, name, dtype, view.shape, first, first + prod(view.shape) * width)

    def pieces() -> Iterator[bytes]:
        items: Array = np.frombuffer(data[start:end], dtype=f"V{width}")
        strides = tuple(width * stride for stride in view.strides)
        yield np.ascontiguousarray(np.lib.stride_tricks.as_strided(items[view.offset :], view.shape, strides)).tobytes()

    return Stored(name, dtype, view.shape, pieces)
