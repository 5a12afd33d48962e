"""Tensor data by datatype: decode JSON, check shape, type and range."""

import re
from itertools import chain
from typing import Any, Final, Literal, NamedTuple

import msgspec

from modelyard_contracts.inference.errors import InvalidRequest
from modelyard_contracts.inference.request import Tensor
from modelyard_contracts.inference.sentences import explain_syntax

Values = list[Any]
"""Flat, in row-major order; None is a missing value."""


class Datatype(NamedTuple):
    """A datatype of the protocol. low, high: inclusive range of its numbers."""

    kind: Literal["float", "integer", "boolean", "text"]
    takes: str
    low: float = 0
    high: float = 0


def _integers(bits: int, *, signed: bool) -> Datatype:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Datatype("integer", f"whole numbers from {low} to {high}", low, high)


DATATYPES: Final[dict[str, Datatype]] = {
    "FP64": Datatype("float", "finite numbers", -1.7976931348623157e308, 1.7976931348623157e308),
    "FP32": Datatype("float", "numbers up to 3.4e38", -3.4028235677973366e38, 3.4028235677973366e38),
    **{f"INT{bits}": _integers(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": _integers(bits, signed=False) for bits in (8, 16, 32, 64)},
    "BOOL": Datatype("boolean", "true or false"),
    "BYTES": Datatype("text", "strings"),
}
FLOATS: Final = frozenset({"FP64", "FP32"})
INTEGERS: Final = frozenset(name for name, datatype in DATATYPES.items() if datatype.kind == "integer")
_TYPES: Final[dict[str, Any]] = {"float": float, "integer": int, "boolean": bool, "text": str}
_FLAT: Final = {kind: msgspec.json.Decoder(list[type_ | None]).decode for kind, type_ in _TYPES.items()}  # type: ignore[valid-type]
_NESTED: Final = {kind: msgspec.json.Decoder(list[list[type_ | None]]).decode for kind, type_ in _TYPES.items()}  # type: ignore[valid-type]
_STARTS_NESTED: Final = re.compile(rb"\s*\[\s*\[")
_GOT: Final = re.compile(r"got `(\w+)` - at `\$((?:\[\d+\])+)")


def read_values(tensor: Tensor, datatypes: frozenset[str], rows: int, columns: int) -> Values:
    """Decode a tensor of shape [rows, columns], or [rows] for one column; InvalidRequest names what differs."""
    if tensor.shape != [rows, columns] and not (columns == 1 and tensor.shape == [rows]):
        wanted = f"[{rows}] or [{rows}, 1]" if columns == 1 else f"[{rows}, {columns}]"
        raise InvalidRequest(f"{tensor.described}: the shape must be {wanted}", field=tensor.name)
    if tensor.datatype not in datatypes:
        names = ", ".join(name for name in DATATYPES if name in datatypes)
        raise InvalidRequest(f"{tensor.described}: the datatype must be {names}", field=tensor.name)
    datatype = DATATYPES[tensor.datatype]
    values = _decode(tensor, datatype, columns)
    if len(values) != rows * columns:
        message = f"{tensor.described}: {len(values)} values; the shape needs {rows * columns}"
        raise InvalidRequest(message, field=tensor.name)
    if datatype.low != datatype.high and tensor.datatype != "FP64":
        _check_range(tensor, datatype, values)
    return values


def _decode(tensor: Tensor, datatype: Datatype, columns: int) -> Values:
    try:
        if not _STARTS_NESTED.match(tensor.data):
            return _FLAT[datatype.kind](tensor.data)
        nested = _NESTED[datatype.kind](tensor.data)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{tensor.described}: {_explain(datatype, str(error))}", field=tensor.name) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        message = explain_syntax(bytes(tensor.data), error)
        raise InvalidRequest(f"{tensor.described}: {message}", field=tensor.name) from error
    if len(tensor.shape) != 2 or any(len(row) != columns for row in nested):
        raise InvalidRequest(f"{tensor.described}: the nested data has another shape", field=tensor.name)
    return list(chain.from_iterable(nested))


def _explain(datatype: Datatype, message: str) -> str:
    if "out of range" in message:
        return f"a number is out of range; send {datatype.takes} or null"
    found = _GOT.search(message)
    if found is None:
        return f"data must be a list of {datatype.takes} or null"
    kind = {"str": "a string", "int": "a number", "float": "a number with a fraction", "bool": "true or false"}
    return f"data{found[2]} is {kind.get(found[1], f'an {found[1]}')}; send {datatype.takes} or null"


def _check_range(tensor: Tensor, datatype: Datatype, values: Values) -> None:
    for place, value in enumerate(values):
        if value is not None and not datatype.low <= value <= datatype.high:
            message = f"{tensor.described}: data[{place}] is out of range; send {datatype.takes}"
            raise InvalidRequest(message, field=tensor.name)
