"""The header of safetensors files, read strictly.

Format: https://huggingface.co/docs/safetensors: 8 bytes length of the header, the header as JSON, the tensors without
gaps. The rules are those of the reference implementation: contiguous offsets from 0 to the end of the file.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.readers.texts import read_json

MAX_HEADER_BYTES: Final = 100_000_000
"""The limit of the reference implementation."""
ITEM_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor whose values are data[start:end] of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    tensors: tuple[Tensor, ...]
    metadata: dict[str, str]


def looks_like(data: Data) -> bool:
    """True if the file starts with a length and a JSON object of that length."""
    if len(data) < 10 or data[8:9] != b"{":
        return False
    size = int.from_bytes(data[:8], "little")
    return 2 <= size <= MAX_HEADER_BYTES and (size > len(data) - 8 or data[8 : 8 + size].rstrip(b" ")[-1:] == b"}")


def read_header(data: Data) -> Header:
    """The tensors in the order of the file. Malformed where the reference implementation refuses the file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise Malformed(f"states a header of {size} bytes, which its {len(data)} bytes cannot hold")
    content = read_json(data[8 : 8 + size], MAX_HEADER_BYTES)
    if not isinstance(content, dict):
        raise Malformed("has a header that is no object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Malformed("has metadata that are not texts")
    tensors = tuple(sorted((_tensor(name, entry, 8 + size) for name, entry in content.items()), key=_position))
    _check_contiguous(tensors, 8 + size, len(data))
    return Header(tensors, metadata)


def _position(tensor: Tensor) -> tuple[int, int]:
    return tensor.start, tensor.end


def _tensor(name: str, entry: Any, base: int) -> Tensor:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"describes the tensor {name!r} with other keys than dtype, shape and data_offsets", name)
    dtype, shape, offsets = entry["dtype"], _counts(entry["shape"], name), _counts(entry["data_offsets"], name)
    if dtype not in ITEM_BITS or len(offsets) != 2:
        raise Malformed(f"gives {name!r} the unknown type {dtype!r}, or no two offsets", name)
    if prod(shape) * ITEM_BITS[dtype] != (offsets[1] - offsets[0]) * 8:
        raise Malformed(f"gives {name!r} {offsets[1] - offsets[0]} bytes, which are not {shape} of {dtype}", name)
    return Tensor(name, dtype, shape, base + offsets[0], base + offsets[1])


def _counts(values: Any, name: str) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**63 for value in values):
        raise Malformed(f"gives {name!r} a shape or offsets that are no counts", name)
    return tuple(values)


def _check_contiguous(tensors: tuple[Tensor, ...], start: int, end: int) -> None:
    at = start
    for tensor in tensors:
        if tensor.start != at:
            kind = "overlaps the tensor before it" if tensor.start < at else "leaves a gap before it"
            raise Malformed(f"holds {tensor.name!r}, which {kind}", tensor.name)
        at = tensor.end
    if at != end:
        raise Malformed(f"has {end - at} bytes that belong to no tensor" if at < end else "ends before its last tensor")
