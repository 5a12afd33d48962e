"""Tensors of safetensors, numpy, skops, ONNX and GGUF files."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Final

import numpy as np

from modelyard_admission.buffers import Data, opened
from modelyard_admission.errors import Malformed
from modelyard_admission.limits import Budget
from modelyard_admission.readers import gguf, onnx
from modelyard_admission.readers.npy import read_array
from modelyard_admission.readers.onnx import External
from modelyard_admission.readers.protobuf import Field, numbers
from modelyard_admission.readers.safetensors import read_header
from modelyard_admission.readers.zips import read_zip, unpack
from modelyard_admission.tensors.values import Array, Stored, contiguous, of_array
from modelyard_admission.walks import is_inside

_SAFETENSORS: Final = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64",
}  # fmt: skip
_ONNX: Final = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
}  # fmt: skip
_GGUF: Final = {
    0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64", 30: "bfloat16",
}  # fmt: skip


def of_safetensors(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    for tensor in read_header(data).tensors:
        dtype = _SAFETENSORS.get(tensor.dtype, tensor.dtype)
        yield contiguous(data, tensor.name, dtype, tensor.shape, tensor.start, tensor.end)


def of_npy(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    yield from _npy(data, path.stem)


def _npy(data: Data, name: str) -> Iterator[Stored]:
    header = read_array(data)
    if header.item_bytes is None or not isinstance(header.dtype, str):
        return
    values = np.frombuffer(data[header.start :], np.dtype(header.dtype))
    yield of_array(name, values.reshape(header.shape, order="F" if header.fortran_order else "C"))


def of_zip(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    """Arrays of an npz or skops file. skops names arrays by their address, so that names differ between two saves."""
    archive = read_zip(data, budget)
    for member in archive.members:
        if member.name.endswith(".npy"):
            yield from _npy(unpack(archive, member, budget), member.name.removesuffix(".npy"))


def of_gguf(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    """ggml lists the fastest axis first."""
    for tensor in gguf.read_gguf(data).tensors:
        dtype = _GGUF.get(tensor.type, f"ggml-{tensor.type}")
        yield contiguous(data, tensor.name, dtype, tensor.shape[::-1], tensor.start, tensor.end)


def of_onnx(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    """Initialisers and constants with a name."""
    for tensor in onnx.read_model(data).tensors:
        dtype = _ONNX.get(tensor.type)
        if dtype is None or not tensor.name:
            continue
        if tensor.external is not None:
            yield from _external(tensor, dtype, path, tensor.external)
        elif tensor.raw is not None:
            yield contiguous(data, tensor.name, dtype, tensor.shape, *tensor.raw)
        else:
            yield replace(of_array(tensor.name, _typed(data, tensor, dtype)), dtype=dtype)


def _external(tensor: onnx.Tensor, dtype: str, path: Path, external: External) -> Iterator[Stored]:
    if not is_inside(external.location):
        raise Malformed(f"takes {tensor.name!r} from outside of the model")
    with opened(path.parent / external.location) as data:
        end = len(data) if external.length is None else external.offset + external.length
        yield contiguous(data, tensor.name, dtype, tensor.shape, external.offset, min(end, len(data)))


def _typed(data: Data, tensor: onnx.Tensor, dtype: str) -> Array:
    """Values of the typed fields; those of 16-bit floats are their bits."""
    found = [value for field in tensor.typed for value in _field_values(data, field)]
    if len(found) != prod(tensor.shape):
        raise Malformed(f"gives {tensor.name!r} {len(found)} values for the shape {tensor.shape}")
    stored = "uint16" if dtype in {"float16", "bfloat16"} else dtype
    return np.array(found, stored).reshape(tensor.shape)


def _field_values(data: Data, field: Field) -> list[float] | list[int]:
    kind = onnx.TENSOR_DATA[field.number]
    if kind in {"float", "double"}:
        width, code = (4, "f") if kind == "float" else (8, "d")
        size = (field.end - field.start) // width
        return list(struct.unpack(f"<{size}{code}", data[field.start : field.start + size * width]))
    signed = kind != "uint64"
    return [value - (1 << 64) if signed and value >= 1 << 63 else value for value in numbers(data, field)]
