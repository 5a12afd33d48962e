"""Bytes that rows take in Avro, computed from their columns: a message must be as long as its decoded values.

Computing the lengths costs a quarter of encoding again. Arrays and maps are taken as one block without a byte size and
integers in their shortest form, as all known writers produce them; a longer message is checked by fastavro.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Lengths = NDArray[np.int64]
FIXED: Final = {"double": 8, "float": 4, "boolean": 1}
ONE_BYTE_VALUES: Final = 64
"""Integers from 0 up to this one take one byte in zigzag form."""


class UnknownAvroType(Exception):
    """An Avro type whose length is not computed here."""


def avro_lengths(columns: pa.RecordBatch, schema: Any) -> Lengths:
    """Return the bytes of each row as Avro of `schema` (parsed by fastavro), shape (rows,).

    Raises UnknownAvroType for types that are not computed here.
    """
    names = schema.get("__named_schemas", {})
    total = np.zeros(columns.num_rows, dtype=np.int64)
    for field in schema["fields"]:
        total += _lengths(columns.column(field["name"]), _resolved(field["type"], names))
    return total


def _resolved(avro: Any, names: dict[str, Any]) -> Any:
    """Replace every name of an earlier type by that type."""
    if isinstance(avro, str):
        return names.get(avro, avro)
    if isinstance(avro, list):
        return [_resolved(one, names) for one in avro]
    if avro["type"] == "record":
        return {**avro, "fields": [{**field, "type": _resolved(field["type"], names)} for field in avro["fields"]]}
    return {key: _resolved(value, names) if key in ("items", "values") else value for key, value in avro.items()}


def _lengths(values: pa.Array, avro: Any) -> Lengths:
    if isinstance(avro, list):
        return _optional(values, avro)
    kind = avro["type"] if isinstance(avro, dict) else avro
    if kind in FIXED:
        return np.full(len(values), FIXED[kind], dtype=np.int64)
    if kind not in _BY_KIND:
        raise UnknownAvroType(kind)
    return _BY_KIND[kind](values, avro)


def _optional(values: pa.Array, avro: list[Any]) -> Lengths:
    branches = [one for one in avro if one != "null"]
    if len(branches) != 1 or len(avro) != 2:
        raise UnknownAvroType(avro)
    if values.null_count == len(values):
        return np.ones(len(values), dtype=np.int64)
    within = _lengths(values, branches[0])
    return 1 + (np.where(values.is_valid().to_numpy(zero_copy_only=False), within, 0) if values.null_count else within)


def _text(values: pa.Array, _: Any) -> Lengths:
    sizes = _whole(pc.binary_length(values))
    return sizes + varint_lengths(sizes)


def _integer(values: pa.Array, _: Any) -> Lengths:
    return varint_lengths(_whole(values.cast(pa.int64())))


def _whole(values: pa.Array) -> NDArray[np.int64]:
    """Return the values as integers, nulls as 0."""
    known: pa.Array = values.fill_null(0) if values.null_count else values
    return np.asarray(known.to_numpy(), dtype=np.int64)


def _enum(values: pa.Array, avro: Any) -> Lengths:
    if len(avro["symbols"]) > ONE_BYTE_VALUES:
        raise UnknownAvroType(avro["name"])
    return np.ones(len(values), dtype=np.int64)


def _record(values: pa.StructArray, avro: Any) -> Lengths:
    total = np.zeros(len(values), dtype=np.int64)
    for field, column in zip(avro["fields"], values.flatten(), strict=True):
        total += _lengths(column, field["type"])
    return total


def _array(values: pa.Array, avro: Any) -> Lengths:
    return _blocks(values, _lengths(values.flatten(), avro["items"]))


def _map(values: pa.Array, avro: Any) -> Lengths:
    first, last = values.offsets[0].as_py(), values.offsets[-1].as_py()
    keys, items = (part.slice(first, last - first) for part in (values.keys, values.items))
    return _blocks(values, _text(keys, None) + _lengths(items, avro["values"]))


def _blocks(values: pa.Array, within: Lengths) -> Lengths:
    """Return the bytes of one block of all items, if there are any, and of the end marker."""
    offsets = values.offsets.to_numpy()
    counts = np.diff(offsets).astype(np.int64)
    sums = np.concatenate(([0], np.cumsum(within)))[offsets - offsets[0]]
    lengths: Lengths = np.where(counts > 0, varint_lengths(counts), 0) + np.diff(sums) + 1
    return lengths


_BY_KIND: Final[dict[str, Callable[[pa.Array, Any], Lengths]]] = {
    "string": _text,
    "bytes": _text,
    "enum": _enum,
    "int": _integer,
    "long": _integer,
    "array": _array,
    "map": _map,
    "record": _record,
}


def varint_lengths(values: NDArray[np.int64]) -> Lengths:
    """Return the bytes of each integer as an Avro varint (zigzag, seven bits per byte), 1 to 10."""
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    if not zigzag.size:
        return np.zeros(0, dtype=np.int64)
    shortest, longest = (max(1, -(-int(end).bit_length() // 7)) for end in (zigzag.min(), zigzag.max()))
    lengths = np.full(values.shape, shortest, dtype=np.int64)
    for size in range(shortest, longest):
        lengths += zigzag >= np.uint64(1 << (7 * size))
    return lengths
