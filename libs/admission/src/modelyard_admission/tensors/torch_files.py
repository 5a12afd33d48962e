"""Tensors of torch files, by the pickle walker's description of how each would be rebuilt."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.limits import Budget
from modelyard_admission.pickles.streams import legacy_storages, storage_of, walk
from modelyard_admission.pickles.values import Items, Made, Name, Table, Value
from modelyard_admission.readers.texts import read_json
from modelyard_admission.readers.zips import STORED, Archive, read_zip, unpack
from modelyard_admission.tensors.values import Stored, View, of_storage

_TYPES: Final = {
    "BoolStorage": "bool", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16",
    "IntStorage": "int32", "LongStorage": "int64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32", "DoubleStorage": "float64", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip
_EXPORTED: Final = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16",
}  # fmt: skip
"""ScalarType of torch/_export/serde/schema.py."""
MAX_DEPTH: Final = 64
Spans = Mapping[str, tuple[int, int]]
"""(start, end) of each storage by key."""


def of_zip(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    """torch.save since 1.6: the storages are members of the archive that are not packed."""
    archive = read_zip(data, budget)
    pickled = next((member for member in archive.members if member.name.endswith("data.pkl")), None)
    if pickled is None:
        return
    root = walk(unpack(archive, pickled, budget), budget).records[-1].result
    yield from tensors(data, root, _storages(archive, pickled.name.removesuffix("data.pkl") + "data/"))


def _storages(archive: Archive, folder: str) -> Spans:
    stored = (member for member in archive.members if member.method == STORED and member.name.startswith(folder))
    return {member.name.removeprefix(folder): (member.start, member.end) for member in stored}


def of_legacy(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    """torch.save before 1.6; other pickles have no tensors that can be found."""
    streams = walk(data, budget)
    if streams.legacy_torch and len(streams.records) == 5:
        yield from tensors(data, streams.records[3].result, legacy_storages(data, streams.records))


def of_export(data: Data, path: Path, budget: Budget) -> Iterator[Stored]:
    """torch.export.save: weights by the table in model_weights_config.json."""
    archive = read_zip(data, budget)
    for table in (member for member in archive.members if member.name.endswith("_weights_config.json")):
        spans = _storages(archive, table.name.rpartition("/")[0] + "/")
        config = read_json(unpack(archive, table, budget), budget.limits.text_bytes)
        for name, entry in config.get("config", {}).items():
            yield _exported(data, name, entry, spans)


def _exported(data: Data, name: str, entry: Any, spans: Spans) -> Stored:
    try:
        meta, span = entry["tensor_meta"], spans[entry["path_name"]]
        shape, strides = (tuple(size["as_int"] for size in meta[key]) for key in ("sizes", "strides"))
        view = View(shape, strides, meta["storage_offset"]["as_int"])
        return of_storage(data, name, _EXPORTED[meta["dtype"]], span, view)
    except (KeyError, TypeError) as error:
        raise Malformed(f"describes the weight {name!r} in a way that is not understood") from error


def tensors(data: Data, root: Value, spans: Spans) -> Iterator[Stored]:
    """Tensors below a value, named by the keys on the way to them; each object is visited once."""
    waiting: list[tuple[str, Value, int]] = [("", root, 0)]
    seen: set[int] = set()
    while waiting:
        name, value, depth = waiting.pop()
        if id(value) in seen or depth > MAX_DEPTH:
            continue
        seen.add(id(value))
        tensor = _tensor(data, name, value, spans)
        if tensor is not None:
            yield tensor
        else:
            waiting.extend((f"{name}.{key}" if name else str(key), child, depth + 1) for key, child in _children(value))


def _children(value: Value) -> Iterator[tuple[str | int, Value]]:
    if isinstance(value, Table):
        yield from value.entries.items()
    elif isinstance(value, Items):
        yield from enumerate(value.values)
    elif isinstance(value, tuple):
        yield from enumerate(value)
    elif isinstance(value, Made):
        yield from value.table.entries.items()
        if isinstance(value.state, Table):
            yield from ((key, child) for key, child in value.state.entries.items() if key != "_metadata")


def _tensor(data: Data, name: str, value: Value, spans: Spans) -> Stored | None:
    """torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...), or a parameter around it."""
    match value:
        case Made(callee=Name("torch._utils", "_rebuild_parameter"), arguments=(inner, *_)):
            return _tensor(data, name, inner, spans)
        case Made(callee=Name("torch._utils", "_rebuild_tensor_v2"), arguments=(stored, int(offset), size, stride, *_)):
            return _rebuilt(data, name, stored, View(_ints(size), _ints(stride), offset), spans)
    return None


def _rebuilt(data: Data, name: str, stored: Value, view: View, spans: Spans) -> Stored:
    found = storage_of(stored)
    dtype = _TYPES.get(found[0].name) if found and isinstance(found[0], Name) else None
    if found is None or dtype is None or found[1] not in spans:
        raise Malformed(f"rebuilds {name!r} from a storage that is not in the file")
    return of_storage(data, name, dtype, spans[found[1]], view)


def _ints(value: Value) -> tuple[int, ...]:
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        return tuple(item for item in value if isinstance(item, int))
    raise Malformed("describes a tensor whose shape is no tuple of integers")
