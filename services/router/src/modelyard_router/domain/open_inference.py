"""Requests of the Open Inference Protocol: the codec of the contracts, with the router's own parameters."""

from typing import Any, NamedTuple

import msgspec

from modelyard_contracts.inference import InferenceRequest, InvalidRequest, TooManyRows, decode_request
from modelyard_contracts.inference.sentences import explain_decode
from modelyard_router.domain.contract import Contract, EntityKey, PredictionId, Values
from modelyard_router.domain.errors import InvalidInference, TooLarge


class Parameters(msgspec.Struct):
    """The request parameters that the router reads; others are for the model."""

    entity_key: EntityKey | None = None
    prediction_ids: list[PredictionId] | None = None


class Infer(NamedTuple):
    """A decoded request."""

    request: InferenceRequest
    rows: int
    id: str | None
    parameters: Parameters


def read_infer(body: bytes, max_rows: int) -> Infer:
    """Decode a request; InvalidInference or TooLarge names what is wrong."""
    try:
        request = decode_request(body, max_rows=max_rows)
    except TooManyRows as error:
        raise TooLarge(str(error), field=error.field) from error
    except InvalidRequest as error:
        raise InvalidInference(str(error), field=error.field) from error
    parameters = _convert(request.parameters or {}, Parameters, "parameters")
    request_id = _convert(request.id, PredictionId | None, "id")
    ids, count = parameters.prediction_ids, request.rows
    if ids is not None and (len(ids) != count or len(set(ids)) != count):
        raise InvalidInference(f"prediction_ids: send {count} different ids, one per row", field="prediction_ids")
    return Infer(request, count, request_id, parameters)


def rows_of(infer: Infer, contract: Contract) -> list[Values]:
    """The values of each row in the contract's order; InvalidInference names the input."""
    try:
        rows = contract.codec.rows(infer.request)
    except InvalidRequest as error:
        raise InvalidInference(str(error), field=error.field) from error
    numbers, words = len(contract.numeric), len(contract.categorical)
    return [
        Values(
            tuple(rows.numeric[row * numbers : (row + 1) * numbers]),
            tuple(rows.texts[row * words : (row + 1) * words]),
        )
        for row in range(rows.size)
    ]


def _convert(value: Any, type_: Any, field: str) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        explained = explain_decode(b"", error)
        inner = explained.field if explained.field != "body" else ""
        where = ".".join(part for part in (field, inner) if part)
        raise InvalidInference(f"{where}: {explained.problem}", field=where) from error
