"""Requests by a version's signature: tensors to rows, and one row to the request that the router sends.

Both forms of a request give the same rows:
- one tensor per column, of shape [rows] or [rows, 1], with the datatypes of its column type (ACCEPTED);
- compact: one FP64 tensor `num` of shape [rows, numeric columns] and one BYTES tensor `cat` of shape [rows, text
  columns]; booleans are 0 or 1, timestamps seconds since 1970 UTC. Where a column has such a name, `_` is appended to
  the name of the compact tensor until no column has it.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from modelyard_contracts.inference.errors import InvalidRequest, shown
from modelyard_contracts.inference.request import InferenceRequest, Tensor
from modelyard_contracts.inference.timestamps import parse_timestamp
from modelyard_contracts.inference.values import FLOATS, INTEGERS, Values, read_values
from modelyard_contracts.signature import Column, ColumnType, Signature

ACCEPTED: Final[dict[ColumnType, frozenset[str]]] = {
    ColumnType.NUMBER: FLOATS | INTEGERS,
    ColumnType.INTEGER: FLOATS | INTEGERS,
    ColumnType.BOOLEAN: frozenset({"BOOL"}),
    ColumnType.TIMESTAMP: FLOATS | INTEGERS | {"BYTES"},
    ColumnType.CATEGORY: frozenset({"BYTES"}),
    ColumnType.TEXT: frozenset({"BYTES"}),
}
"""Datatypes of a tensor with one column. An integer column takes floats that are whole numbers."""
PREFERRED: Final[dict[ColumnType, str]] = {
    ColumnType.NUMBER: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.TIMESTAMP: "BYTES",
    ColumnType.CATEGORY: "BYTES",
    ColumnType.TEXT: "BYTES",
}
_NUMERIC: Final = frozenset({"FP64"})
_TEXT: Final = frozenset({"BYTES"})
_ENCODE: Final = msgspec.json.Encoder().encode


class Rows(NamedTuple):
    """Decoded rows in the order of the prediction log.

    numeric: flat, row-major, shape (size, numeric columns). texts: the same for text columns. None is missing.
    """

    size: int
    numeric: list[float | None]
    texts: list[str | None]


class InferenceCodec:
    """Codec of one signature. Immutable, safe to share between threads."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        columns = {column.name: column for column in signature.columns}
        self._numeric = tuple(columns[name] for name in signature.numeric)
        self._texts = tuple(columns[name] for name in signature.categorical)
        self._names = columns.keys()
        self.numeric_tensor, self.text_tensor = _free_name("num", columns), _free_name("cat", columns)
        self._compact = frozenset({self.numeric_tensor, self.text_tensor})
        self._checked_numeric = [(i, c) for i, c in enumerate(self._numeric) if c.type in _RULES or not c.nullable]
        self._checked_texts = [(i, c) for i, c in enumerate(self._texts) if c.max_length or not c.nullable]
        self._parts = self._compact_parts()

    def rows(self, request: InferenceRequest) -> Rows:
        """Rows of a decoded request; InvalidRequest names the input that breaks the signature."""
        tensors = {tensor.name: tensor for tensor in request.inputs}
        if len(tensors) != len(request.inputs):
            raise InvalidRequest("inputs: two have the same name; send each input once", field="inputs")
        count = request.rows
        if tensors.keys() <= self._compact:
            numeric = _read_compact(
                tensors.get(self.numeric_tensor), self.numeric_tensor, _NUMERIC, count, self._numeric
            )
            texts = _read_compact(tensors.get(self.text_tensor), self.text_tensor, _TEXT, count, self._texts)
        else:
            self._check_names(tensors)
            numeric = _read_columns(tensors, count, self._numeric)
            texts = _read_columns(tensors, count, self._texts)
        self._check_values(numeric, texts)
        return Rows(count, numeric, texts)

    def encode_row(self, numbers: Sequence[float | None], texts: Sequence[str | None]) -> bytes:
        """One row as a compact request."""
        head, between, tail = self._parts
        if not texts:
            return head + _ENCODE(numbers) + tail
        if not numbers:
            return between + _ENCODE(texts) + tail
        return head + _ENCODE(numbers) + between + _ENCODE(texts) + tail

    def describe_inputs(self) -> list[dict[str, Any]]:
        """`inputs` of the protocol's model metadata."""
        return [
            {
                "name": column.name,
                "datatype": PREFERRED[column.type],
                "shape": [-1],
                "parameters": {"type": column.type.value, "nullable": column.nullable},
            }
            for column in self.signature.columns
        ]

    def _check_names(self, tensors: dict[str, Tensor]) -> None:
        if unknown := sorted(tensors.keys() - self._names):
            raise InvalidRequest(
                f"input {shown(unknown[0])}: not a column of this version; remove it", field=unknown[0]
            )
        for column in self.signature.columns:
            if column.name not in tensors:
                remedy = "send it, with null where a value is missing" if column.nullable else "send it"
                raise InvalidRequest(f"input {shown(column.name)}: missing; {remedy}", field=column.name)

    def _check_values(self, numeric: Values, texts: Values) -> None:
        for place, column in self._checked_numeric:
            _check_column(column, numeric[place :: len(self._numeric)])
        for place, column in self._checked_texts:
            _check_column(column, texts[place :: len(self._texts)])

    def _compact_parts(self) -> tuple[bytes, bytes, bytes]:
        """JSON before the numbers, before the texts, and at the end of a compact request with one row."""
        num = b'{"name":%b,"shape":[1,%d],"datatype":"FP64","data":' % (
            _ENCODE(self.numeric_tensor),
            len(self._numeric),
        )
        cat = b'{"name":%b,"shape":[1,%d],"datatype":"BYTES","data":' % (_ENCODE(self.text_tensor), len(self._texts))
        start = b'{"inputs":['
        return start + num, b"}," + cat if self._numeric else start + cat, b"}]}"


def _free_name(name: str, columns: dict[str, Column]) -> str:
    while name in columns:
        name += "_"
    return name


def _read_compact(
    tensor: Tensor | None, name: str, datatypes: frozenset[str], rows: int, columns: tuple[Column, ...]
) -> Values:
    if tensor is None:
        if columns:
            raise InvalidRequest(f"input {name}: missing; send it with shape [{rows}, {len(columns)}]", field=name)
        return []
    return read_values(tensor, datatypes, rows, len(columns))


def _read_columns(tensors: dict[str, Tensor], rows: int, columns: tuple[Column, ...]) -> Values:
    values: Values = [None] * (rows * len(columns))
    for place, column in enumerate(columns):
        values[place :: len(columns)] = _read_column(tensors[column.name], column, rows)
    return values


def _read_column(tensor: Tensor, column: Column, rows: int) -> Values:
    values = read_values(tensor, ACCEPTED[column.type], rows, 1)
    if not column.type.numeric:
        return values
    if tensor.datatype == "BYTES":
        return [None if value is None else _seconds(tensor, value) for value in values]
    if tensor.datatype in FLOATS:
        return values
    return [None if value is None else float(value) for value in values]


def _seconds(tensor: Tensor, value: str) -> float:
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError) as error:
        message = f"{tensor.described}: {shown(value)} is no RFC 3339 timestamp; send one such as 2026-01-31T12:00:00Z"
        raise InvalidRequest(message, field=tensor.name) from error


def _check_column(column: Column, values: Values) -> None:
    if not column.nullable and None in values:
        raise InvalidRequest(f"input {shown(column.name)}: null is not allowed; send a value", field=column.name)
    if column.max_length is not None:
        longest = max((len(value) for value in values if value is not None), default=0)
        if longest > column.max_length:
            message = f"{longest} characters; at most {column.max_length} are allowed"
            raise InvalidRequest(f"input {shown(column.name)}: {message}", field=column.name)
    rule = _RULES.get(column.type)
    if rule and not all(value is None or rule(value) for value in values):
        message = f"a value is not {_RULE_WORDS[column.type]}"
        raise InvalidRequest(f"input {shown(column.name)} ({column.type}): {message}", field=column.name)


_RULES: Final[dict[ColumnType, Any]] = {
    ColumnType.INTEGER: float.is_integer,
    ColumnType.BOOLEAN: lambda value: value in (0.0, 1.0),
}
_RULE_WORDS: Final = {ColumnType.INTEGER: "a whole number", ColumnType.BOOLEAN: "0 or 1"}
