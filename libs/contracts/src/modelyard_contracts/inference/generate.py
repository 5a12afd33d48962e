"""The protocol's generate extension: text in, text out, whole or as server-sent events.

`POST /v2/models/{name}/generate` answers a GenerateAnswer; `/generate_stream` answers events `data: {GenerateEvent}`.
The last event has `finish_reason` and `usage`; a stream that ends without it was broken off.
"""

from typing import Any, Final

import msgspec

from modelyard_contracts.inference.errors import InvalidRequest
from modelyard_contracts.inference.sentences import explain_decode


class GenerateRequest(msgspec.Struct):
    """parameters: the model's own, such as `max_tokens`."""

    text_input: str
    id: str | None = None
    parameters: dict[str, Any] | None = None


class Usage(msgspec.Struct):
    """Tokens of one generation."""

    input_tokens: int
    output_tokens: int


class GenerateEvent(msgspec.Struct, omit_defaults=True):
    """A piece of the answer, or with `finish_reason` its end; also the whole answer outside a stream."""

    model_name: str
    model_version: str
    text_output: str
    finish_reason: str | None = None
    usage: Usage | None = None
    parameters: dict[str, Any] | None = None
    id: str | None = None


_DECODE: Final = msgspec.json.Decoder(GenerateRequest).decode
_DECODE_EVENT: Final = msgspec.json.Decoder(GenerateEvent).decode
_ENCODE: Final = msgspec.json.Encoder().encode


def decode_generate(body: bytes) -> GenerateRequest:
    """Decode a request; InvalidRequest says what is wrong."""
    try:
        return _DECODE(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f'{explain_decode(body, error).sentence}; send {{"text_input": "..."}}') from error


def encode_event(event: GenerateEvent) -> bytes:
    """One server-sent event."""
    return b"data: " + _ENCODE(event) + b"\n\n"


def decode_event(data: bytes) -> GenerateEvent:
    """The JSON after `data:` of one event, or a whole answer; raises msgspec.DecodeError."""
    return _DECODE_EVENT(data)
