"""Rows of an Open Inference Protocol v2 request, to check and log them; the bytes are forwarded unchanged."""

from typing import Annotated, Any, Final

import msgspec

from modelyard_router.domain.contract import Contract, EntityKey, Numbers, PredictionId, Words
from modelyard_router.domain.errors import BrokenContract, TooLarge
from modelyard_router.domain.violations import feature_violations

NUMERIC_TYPES: Final = frozenset(
    {"FP64", "FP32", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"}
)


class Tensor(msgspec.Struct):
    name: str
    shape: Annotated[list[int], msgspec.Meta(min_length=1, max_length=2)]
    datatype: str
    data: msgspec.Raw


class Parameters(msgspec.Struct):
    """The request parameters that the router reads; others are for the model."""

    entity_key: EntityKey | None = None
    prediction_ids: list[PredictionId] | None = None


class InferRequest(msgspec.Struct):
    inputs: Annotated[list[Tensor], msgspec.Meta(min_length=1)]
    id: PredictionId | None = None
    parameters: Parameters = msgspec.field(default_factory=Parameters)


_DECODE: Final = msgspec.json.Decoder(InferRequest).decode
_NUMBERS: Final = msgspec.json.Decoder(list[float | None]).decode
_NUMBER_ROWS: Final = msgspec.json.Decoder(list[list[float | None]]).decode
_TEXTS: Final = msgspec.json.Decoder(list[str | None]).decode
_TEXT_ROWS: Final = msgspec.json.Decoder(list[list[str | None]]).decode


def read_request(body: bytes, max_rows: int) -> tuple[InferRequest, int]:
    """The request and its number of rows."""
    try:
        request = _DECODE(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenContract(f"not an Open Inference Protocol v2 request: {error}") from error
    counts = {tensor.shape[0] for tensor in request.inputs}
    count = counts.pop()
    if counts or count < 1:
        raise BrokenContract("the inputs must agree on their first dimension, the number of rows", field="shape")
    if count > max_rows:
        raise TooLarge(f"{count} rows; send at most {max_rows} in one request", field="shape")
    ids = request.parameters.prediction_ids
    if ids is not None and (len(ids) != count or len(set(ids)) != count):
        raise BrokenContract(f"prediction_ids: send {count} different ids, one per row", field="prediction_ids")
    return request, count


def rows_of(request: InferRequest, count: int, contract: Contract) -> list[tuple[Numbers, Words]]:
    """The numbers and words of each row in the contract's order; BrokenContract names the input."""
    named = {tensor.name: tensor for tensor in request.inputs}
    if len(named) != len(request.inputs):
        raise BrokenContract("two inputs have the same name; name each once", field="inputs")
    if named.keys() <= {"num", "cat"} and not named.keys() <= {*contract.numeric, *contract.categorical}:
        numbers = _matrix(named.get("num"), "num", count, len(contract.numeric), numeric=True)
        words = _matrix(named.get("cat"), "cat", count, len(contract.categorical), numeric=False)
    else:
        _check_names(named, contract)
        numbers = _columns(named, contract.numeric, count, numeric=True)
        words = _columns(named, contract.categorical, count, numeric=False)
    _check_nulls(numbers, words, contract)
    return list(zip(numbers, words, strict=True))


def _check_names(named: dict[str, Tensor], contract: Contract) -> None:
    """The same messages as for a single row."""
    present: dict[str, Any] = {name: 0.0 if name in contract.numeric else "" for name in named}
    for field, detail in feature_violations(present, contract.schema):
        raise BrokenContract(detail, field=field)


def _columns(named: dict[str, Tensor], names: tuple[str, ...], count: int, *, numeric: bool) -> list[Any]:
    if not names:
        return [()] * count
    columns = [[row[0] for row in _matrix(named[name], name, count, 1, numeric=numeric)] for name in names]
    return list(zip(*columns, strict=True))


def _matrix(tensor: Tensor | None, name: str, rows: int, columns: int, *, numeric: bool) -> list[tuple[Any, ...]]:
    if tensor is None:
        if columns:
            raise BrokenContract(f"input {name}: absent; send it with shape [{rows}, {columns}]", field=name)
        return [()] * rows
    if tensor.shape != [rows, columns] and not (columns == 1 and tensor.shape == [rows]):
        raise BrokenContract(f"input {name}: shape {tensor.shape}; send [{rows}, {columns}]", field=name)
    if (tensor.datatype not in NUMERIC_TYPES) if numeric else (tensor.datatype != "BYTES"):
        raise BrokenContract(
            f"input {name}: datatype {tensor.datatype}; send {'FP64' if numeric else 'BYTES'}", field=name
        )
    values = _values(tensor, numeric)
    if len(values) != rows * columns:
        raise BrokenContract(f"input {name}: {len(values)} values for shape [{rows}, {columns}]", field=name)
    return [tuple(values[i : i + columns]) for i in range(0, len(values), columns)] if columns else [()] * rows


def _values(tensor: Tensor, numeric: bool) -> list[Any]:
    nested = bytes(tensor.data).lstrip()[1:].lstrip()[:1] == b"["
    decode: Any = (_NUMBER_ROWS if nested else _NUMBERS) if numeric else (_TEXT_ROWS if nested else _TEXTS)
    try:
        values = decode(tensor.data)
    except msgspec.DecodeError as error:
        wanted = "finite numbers" if numeric else "strings"
        raise BrokenContract(f"input {tensor.name}: send {wanted} or null: {error}", field=tensor.name) from error
    return [value for row in values for value in row] if nested else list(values)


def _check_nulls(numbers: list[Any], words: list[Any], contract: Contract) -> None:
    for feature in contract.schema.features:
        if feature.nullable:
            continue
        numeric = feature.name in contract.numeric
        place = (contract.numeric if numeric else contract.categorical).index(feature.name)
        if any(row[place] is None for row in (numbers if numeric else words)):
            raise BrokenContract(f"feature {feature.name}: null is not allowed; send a value", field=feature.name)
