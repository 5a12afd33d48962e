"""Requests of the Open Inference Protocol: from bytes to tensors whose data is not decoded yet."""

from typing import Any, Final

import msgspec

from modelyard_contracts.inference.errors import InvalidRequest, TooManyRows, shown
from modelyard_contracts.inference.sentences import explain_decode
from modelyard_contracts.sentences import plain

_EXAMPLE: Final = 'send {"inputs": [{"name": ..., "shape": [rows], "datatype": ..., "data": [...]}]}'


class Tensor(msgspec.Struct):
    """One input. data: JSON, flat in row-major order or nested rows; null is a missing value."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] | None = None

    @property
    def described(self) -> str:
        """The input as errors name it: name, datatype and shape."""
        return f"input {shown(self.name)} ({shown(self.datatype)}, shape {plain(str(self.shape[:4]))})"


class InferenceRequest(msgspec.Struct):
    """A request. parameters: the caller's, not interpreted here. `outputs` is ignored: all outputs are returned."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None

    @property
    def rows(self) -> int:
        """Rows of every input; decode_request has checked that they agree."""
        return self.inputs[0].shape[0]


_DECODE: Final = msgspec.json.Decoder(InferenceRequest).decode


def decode_request(body: bytes, *, max_rows: int) -> InferenceRequest:
    """Decode a request and check that its inputs agree on a number of rows; raises InvalidRequest or TooManyRows."""
    try:
        request = _DECODE(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"{explain_decode(body, error).sentence}; {_EXAMPLE}") from error
    _check_rows(request, max_rows)
    return request


def _check_rows(request: InferenceRequest, max_rows: int) -> None:
    if not request.inputs:
        raise InvalidRequest(f"inputs: the list is empty; {_EXAMPLE}", field="inputs")
    rows = -1
    for tensor in request.inputs:
        if not 1 <= len(tensor.shape) <= 2 or tensor.shape[0] < 0:
            raise InvalidRequest(f"{tensor.described}: the shape must be [rows] or [rows, columns]", field=tensor.name)
        if tensor.shape[0] == 0:
            raise InvalidRequest(f"{tensor.described}: no rows; send at least one", field=tensor.name)
        if rows not in (-1, tensor.shape[0]):
            first = request.inputs[0].described
            raise InvalidRequest(f"{tensor.described}: the number of rows differs from {first}", field=tensor.name)
        rows = tensor.shape[0]
    if rows > max_rows:
        raise TooManyRows(f"{rows} rows; send at most {max_rows} in one request", field="shape")
