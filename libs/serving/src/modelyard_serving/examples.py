"""Examples of a version: rows that its author gave with it, as inputs of its predictor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard_contracts.documents import DocumentError, read
from modelyard_contracts.example import Example
from modelyard_contracts.inference import InferenceCodec, InferenceRequest, InvalidRequest, Tensor
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.signature import ColumnType, Signature
from modelyard_serving.errors import Unloadable
from modelyard_serving.lanes import Inputs

_ENCODE: Final = msgspec.json.Encoder().encode
_DATATYPES: Final = {ColumnType.BOOLEAN: "BOOL", ColumnType.CATEGORY: "BYTES", ColumnType.TEXT: "BYTES"}


def read_example(manifest: ModelManifest, folder: Path) -> Example | None:
    """The version's example; None if it has none. Unloadable if it cannot be read."""
    if manifest.example is None:
        return None
    try:
        return read(Example, (folder / manifest.example).read_bytes())
    except (OSError, DocumentError) as error:
        raise Unloadable(f"{manifest.example}: {error}") from error


def inputs_of(manifest: ModelManifest, example: Example) -> Inputs:
    """The example's rows as a caller would send them; Unloadable names the column that breaks the signature."""
    signature, columns, rows = manifest.signature, example.columns(), len(example.rows)
    columns |= {column.name: [None] * rows for column in signature.columns if column.name not in columns}
    types = {column.name: column.type for column in signature.columns}
    tensors = [_tensor(name, types.get(name, ColumnType.NUMBER), values) for name, values in columns.items()]
    return _decoded(signature, tensors, manifest.example or "example")


def _decoded(signature: Signature, tensors: list[Tensor], name: str) -> Inputs:
    try:
        rows = InferenceCodec(signature).rows(InferenceRequest(tensors))
    except InvalidRequest as error:
        raise Unloadable(f"{name}: {error}") from error
    return Inputs.of(rows, len(signature.numeric), len(signature.categorical))


def _tensor(name: str, kind: ColumnType, values: Sequence[Any]) -> Tensor:
    texts = kind is ColumnType.TIMESTAMP and any(isinstance(value, str) for value in values)
    datatype = "BYTES" if texts else _DATATYPES.get(kind, "FP64")
    return Tensor(name, [len(values)], datatype, msgspec.Raw(_ENCODE(values)))
