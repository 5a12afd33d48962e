"""Generated text: the caller's request, events of a model server, and events for the caller."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec

from modelyard_contracts.inference.generate import (
    ChatMessage,
    GenerateEvent,
    GenerateRequest,
    Usage,
    decode_event,
    prompt_problem,
)
from modelyard_contracts.inference.sentences import explain_decode
from modelyard_router.domain.answers import BadAnswer
from modelyard_router.domain.contract import EntityKey, PredictionId
from modelyard_router.domain.errors import BrokenContract

MAX_EVENT_BYTES: Final = 1 << 20
DONE: Final = b"data: [DONE]\n\n"
_ENCODE: Final = msgspec.json.Encoder().encode


class Generate(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /v1/generate/{route}."""

    text: str | None = None
    stream: bool = False
    parameters: dict[str, Any] = {}
    entity_key: EntityKey | None = None
    session_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    generation_id: PredictionId | None = None
    messages: list[ChatMessage] | None = None
    """A chat, instead of `text`."""

    @property
    def asked(self) -> str:
        """The text, or the message of the chat that is answered."""
        return self.text or "" if self.messages is None else self.messages[-1].content

    @property
    def recorded(self) -> str:
        """The text, or all messages as JSON, for the log."""
        return self.text or "" if self.messages is None else _ENCODE(self.messages).decode()

    @property
    def characters(self) -> int:
        """Of the text or of all messages."""
        return len(self.text or "") + sum(len(message.content) for message in self.messages or ())


_DECODE: Final = msgspec.json.Decoder(Generate).decode


def read_generate(body: bytes) -> Generate:
    """BrokenContract names the field and the remedy."""
    try:
        request = _DECODE(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        explained = explain_decode(body, error)
        text = f'{explained.sentence}; send {{"text": "...", "stream": true or false}}'
        raise BrokenContract(text, field=explained.field) from error
    if (problem := prompt_problem(request.text, request.messages, "text")) is not None:
        raise BrokenContract(problem[1], field=problem[0])
    return request


def upstream_body(request: Generate, generation_id: str) -> bytes:
    """The request to a model server."""
    return _ENCODE(GenerateRequest(request.text, generation_id, request.parameters or None, request.messages))


async def events(pieces: AsyncIterator[bytes]) -> AsyncIterator[GenerateEvent]:
    """Server-sent events of a model server; BadAnswer when they do not follow the protocol."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece.replace(b"\r\n", b"\n")).split(b"\n\n")
        if len(rest) > MAX_EVENT_BYTES:
            raise BadAnswer(f"an event of more than {MAX_EVENT_BYTES} bytes")
        for block in whole:
            if (data := _data(block)) and data != b"[DONE]":
                yield _event(data)


def _data(block: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)


def _event(data: bytes) -> GenerateEvent:
    try:
        return decode_event(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadAnswer(_reported(data) or f"not an event of a generation: {error}") from error


class _Broken(msgspec.Struct):
    """The last event of a version that failed within its answer."""

    error: str


def _reported(data: bytes) -> str:
    """What the model server reports as the reason; empty if the event is none of its errors."""
    try:
        return msgspec.json.decode(data, type=_Broken).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def text_event(text: str) -> bytes:
    """A piece of the answer, as the caller receives it."""
    return b"data: " + _ENCODE({"text": text}) + b"\n\n"


def end_event(finish_reason: str, usage: Usage | None) -> bytes:
    """The last event of a complete answer, and the end of the stream."""
    last: dict[str, Any] = {"finish_reason": finish_reason}
    if usage is not None:
        last["usage"] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return b"data: " + _ENCODE(last) + b"\n\n" + DONE


def error_event(code: str, detail: str) -> bytes:
    """The last event of an answer that was broken off; no `[DONE]` follows."""
    return b"data: " + _ENCODE({"error": {"code": code, "detail": detail}}) + b"\n\n"
