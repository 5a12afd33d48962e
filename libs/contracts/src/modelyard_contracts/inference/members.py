"""One request to several versions in one model server, and their answers in one body.

`POST /v2/models/{name}/versions/{v},{v},.../infer` with an ordinary request. A server without this call answers 404.
The status of the whole answer is 200; each version has a status and an answer of its own, as if asked alone.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from modelyard_contracts.inference.errors import InvalidAnswer

SEPARATOR: Final = ","


class MemberAnswer(msgspec.Struct):
    """What one version answered."""

    version: str
    status: int
    answer: msgspec.Raw
    """JSON: an Open Inference answer if the status is 200, else the protocol's error object."""
    predict_ms: float = 0.0
    """Time of its prediction alone; 0 without one."""

    @property
    def body(self) -> bytes:
        return bytes(self.answer)


class MemberAnswers(msgspec.Struct):
    """The whole answer."""

    members: list[MemberAnswer]
    """In the order of the request."""
    span_ms: float = 0.0
    """From the start of the first prediction to the end of the last one."""


_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder(MemberAnswers).decode


def versions_segment(versions: Iterable[object]) -> str:
    """The path segment that names several versions."""
    return SEPARATOR.join(str(version) for version in versions)


def encode_members(answers: MemberAnswers) -> bytes:
    return _ENCODE(answers)


def decode_members(body: bytes) -> MemberAnswers:
    """InvalidAnswer if the body has another form."""
    try:
        return _DECODE(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidAnswer(f"not an answer of several versions: {error}") from error
