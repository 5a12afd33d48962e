"""Open Inference Protocol v2, JSON form: bytes to arrays and arrays to bytes."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.manifest import FeatureKind, FeatureSchema
from modelyard_serving.errors import BadRequest, ServingError, TooLarge

NUMERIC_TENSOR: Final = "num"
CATEGORICAL_TENSOR: Final = "cat"
NUMERIC_TYPES: Final = frozenset(
    {"FP64", "FP32", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"}
)

Floats = NDArray[np.float64]
Objects = NDArray[np.object_]


class Tensor(msgspec.Struct):
    """One input; `data` is flat in row-major order, or nested rows; null is a missing value."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class InferRequest(msgspec.Struct):
    inputs: list[Tensor]
    id: str | None = None


@dataclass(frozen=True)
class Rows:
    """What a predictor takes. numeric: (rows, n_num), NaN = missing. categorical: (rows, n_cat), None = missing."""

    numeric: Floats
    categorical: Objects

    @property
    def count(self) -> int:
        return len(self.numeric)


_REQUEST: Final = msgspec.json.Decoder(InferRequest)
_NUMBERS: Final = msgspec.json.Decoder(list[float | None])
_NUMBER_ROWS: Final = msgspec.json.Decoder(list[list[float | None]])
_TEXTS: Final = msgspec.json.Decoder(list[str | None])
_TEXT_ROWS: Final = msgspec.json.Decoder(list[list[str | None]])


class Contract:
    """Reads requests as one version's feature schema wants them."""

    def __init__(self, schema: FeatureSchema, max_rows: int) -> None:
        self.schema, self.max_rows = schema, max_rows
        self._columns = {name: (True, place) for place, name in enumerate(schema.numeric)}
        self._columns |= {name: (False, place) for place, name in enumerate(schema.categorical)}
        self._required = tuple((f.name, f.kind is FeatureKind.NUMERIC) for f in schema.features if not f.nullable)

    def read(self, body: bytes) -> tuple[str | None, Rows]:
        """The request's id and its rows; BadRequest names the input."""
        try:
            request = _REQUEST.decode(body)
        except msgspec.DecodeError as error:
            raise BadRequest(f"not an Open Inference Protocol v2 request: {error}") from error
        named = {tensor.name: tensor for tensor in request.inputs}
        if len(named) != len(request.inputs):
            raise BadRequest("two inputs have the same name; name each input once", field="inputs")
        whole = named.keys() <= {NUMERIC_TENSOR, CATEGORICAL_TENSOR} and not named.keys() <= self._columns.keys()
        rows = self._read_whole(named) if whole else self._read_columns(named)
        self._check_required(rows)
        return request.id, rows

    def _read_whole(self, named: dict[str, Tensor]) -> Rows:
        count = self._row_count(named)
        numeric = self._matrix(named.get(NUMERIC_TENSOR), NUMERIC_TENSOR, count, len(self.schema.numeric), True)
        categorical = self._matrix(
            named.get(CATEGORICAL_TENSOR), CATEGORICAL_TENSOR, count, len(self.schema.categorical), False
        )
        return Rows(numeric, categorical)

    def _read_columns(self, named: dict[str, Tensor]) -> Rows:
        """One tensor per feature, of shape (rows,) or (rows, 1)."""
        if unknown := sorted(named.keys() - self._columns.keys()):
            raise BadRequest(f"input {unknown[0]}: not a feature of this version; remove it", field=unknown[0])
        if missing := sorted(self._columns.keys() - named.keys()):
            raise BadRequest(f"input {missing[0]}: missing; send it, null values where unknown", field=missing[0])
        count = self._row_count(named)
        numeric = np.empty((count, len(self.schema.numeric)))
        categorical = np.empty((count, len(self.schema.categorical)), dtype=object)
        for name, (is_number, place) in self._columns.items():
            into = numeric if is_number else categorical
            into[:, place] = self._matrix(named[name], name, count, 1, is_number)[:, 0]
        return Rows(numeric, categorical)

    def _row_count(self, named: dict[str, Tensor]) -> int:
        counts = {tensor.shape[0] if tensor.shape else -1 for tensor in named.values()}
        if len(counts) != 1:
            raise BadRequest("the inputs must agree on the number of rows, their first dimension", field="shape")
        count = counts.pop()
        if count < 1:
            raise BadRequest("shape: at least one row is needed", field="shape")
        if count > self.max_rows:
            raise TooLarge(f"{count} rows; this server takes {self.max_rows} in one request", field="shape")
        return count

    def _matrix(self, tensor: Tensor | None, name: str, rows: int, columns: int, numeric: bool) -> Any:
        if tensor is None:
            if columns:
                raise BadRequest(f"input {name}: missing; this version has {columns} such features", field=name)
            return np.empty((rows, 0), dtype=np.float64 if numeric else object)
        if tensor.shape != [rows, columns] and not (columns == 1 and tensor.shape == [rows]):
            raise BadRequest(f"input {name}: shape {tensor.shape}, must be [{rows}, {columns}]", field=name)
        _check_datatype(tensor, numeric)
        values = _values(tensor, numeric)
        if len(values) != rows * columns:
            raise BadRequest(f"input {name}: {len(values)} values for shape [{rows}, {columns}]", field=name)
        array = np.array(values, dtype=np.float64 if numeric else object)
        return array.reshape(rows, columns)

    def _check_required(self, rows: Rows) -> None:
        for name, is_number in self._required:
            place = self._columns[name][1]
            column = rows.numeric[:, place] if is_number else rows.categorical[:, place]
            absent = np.isnan(column).any() if is_number else any(value is None for value in column)
            if absent:
                raise BadRequest(f"feature {name}: null is not allowed; send a value", field=name)


def _check_datatype(tensor: Tensor, numeric: bool) -> None:
    if numeric and tensor.datatype not in NUMERIC_TYPES:
        raise BadRequest(f"input {tensor.name}: datatype {tensor.datatype}, send FP64", field=tensor.name)
    if not numeric and tensor.datatype != "BYTES":
        raise BadRequest(f"input {tensor.name}: datatype {tensor.datatype}, send BYTES", field=tensor.name)


def _values(tensor: Tensor, numeric: bool) -> list[Any]:
    nested = bytes(tensor.data).lstrip()[1:].lstrip()[:1] == b"["
    decoder: Any = (_NUMBER_ROWS if nested else _NUMBERS) if numeric else (_TEXT_ROWS if nested else _TEXTS)
    try:
        values = decoder.decode(tensor.data)
    except msgspec.DecodeError as error:
        wanted = "numbers" if numeric else "strings"
        raise BadRequest(f"input {tensor.name}: data must be {wanted} or null: {error}", field=tensor.name) from error
    return [value for row in values for value in row] if nested else list(values)


def answer(
    model: str, version: str, digest: str, request_id: str | None, classes: tuple[str, ...], scores: Floats
) -> bytes:
    """The body of an answer. scores: (rows, classes), or (rows, 1) of a regression, which has no `class` output."""
    if not np.isfinite(scores).all():
        raise ServingError("the model gave a score that is not finite; the version is broken, roll it back")
    outputs: list[dict[str, Any]] = []
    if classes:
        best = [classes[place] for place in scores.argmax(axis=1)]
        outputs.append({"name": "class", "shape": [len(best)], "datatype": "BYTES", "data": best})
    outputs.append({"name": "scores", "shape": list(scores.shape), "datatype": "FP64", "data": scores.ravel().tolist()})
    body: dict[str, Any] = {"model_name": model, "model_version": version}
    if request_id is not None:
        body["id"] = request_id
    return msgspec.json.encode({**body, "outputs": outputs, "parameters": {"digest": digest}})
