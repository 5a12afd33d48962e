"""The protocol's generate extension: a text or the messages of a chat in, text out, whole or as server-sent events.

`POST /v2/models/{name}/generate` answers a GenerateAnswer; `/generate_stream` answers events `data: {GenerateEvent}`.
The last event has `finish_reason` and `usage`; a stream that ends without it was broken off.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from modelyard_contracts.inference.errors import InvalidRequest
from modelyard_contracts.inference.sentences import explain_decode

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES: Final = (SYSTEM, USER, ASSISTANT)
MAX_MESSAGES: Final = 1_000


class ChatMessage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One message of a chat, as OpenAI's API writes it."""

    role: str
    content: str


Prompt = str | Sequence[ChatMessage]
"""One text, or a chat whose last message is the user's."""


class GenerateRequest(msgspec.Struct, omit_defaults=True):
    """Either `text_input` or `messages`. parameters: the model's own, such as `max_tokens`."""

    text_input: str | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None
    messages: list[ChatMessage] | None = None

    @property
    def prompt(self) -> Prompt:
        return self.messages if self.messages is not None else self.text_input or ""


def prompt_problem(text: str | None, messages: Sequence[ChatMessage] | None, name: str) -> tuple[str, str] | None:
    """The field at fault and a sentence, if a text and messages are no prompt. name: of the field with the text."""
    if (text is None) is (messages is None):
        return name, f"{name}, messages: send one of them"
    if messages is None:
        return None
    if not 1 <= len(messages) <= MAX_MESSAGES:
        return "messages", f"messages: send 1 to {MAX_MESSAGES}"
    for place, message in enumerate(messages):
        if message.role not in ROLES:
            field = f"messages[{place}].role"
            return field, f"{field}: is not a known role; use {', '.join(ROLES)}"
        if message.role == SYSTEM and place:
            field = f"messages[{place}].role"
            return field, f"{field}: only the first message may be of the system"
    if messages[-1].role != USER:
        return "messages", "messages: the last one must be the user's; it is the one that is answered"
    return None


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
        request = _DECODE(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f'{explain_decode(body, error).sentence}; send {{"text_input": "..."}}') from error
    if (problem := prompt_problem(request.text_input, request.messages, "text_input")) is not None:
        raise InvalidRequest(problem[1], field=problem[0])
    return request


def encode_event(event: GenerateEvent) -> bytes:
    """One server-sent event."""
    return b"data: " + _ENCODE(event) + b"\n\n"


def decode_event(data: bytes) -> GenerateEvent:
    """The JSON after `data:` of one event, or a whole answer; raises msgspec.DecodeError."""
    return _DECODE_EVENT(data)
