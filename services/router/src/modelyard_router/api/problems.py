"""Errors as problem documents (RFC 9457)."""

from typing import Any, Final, NamedTuple

import msgspec

from modelyard_contracts.sentences import exact, one_line
from modelyard_router.domain.errors import (
    AnswersTexts,
    BodyTooSlow,
    BrokenContract,
    Busy,
    CallerDeadline,
    InvalidInference,
    NotAllowed,
    NotFoundHere,
    NotGenerating,
    OutOfRange,
    ProviderBusy,
    RefusedParameter,
    SpoolFull,
    SpoolUnwritable,
    TooLarge,
    TwoKeys,
    Unauthenticated,
    UnknownRoute,
    UnsupportedEncoding,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
    WrongMethod,
)
from modelyard_router.domain.leaves import Header
from modelyard_router.domain.requests import Reply
from modelyard_runtime.errors import ModelyardError

JSON: Final = (b"content-type", b"application/json")
PROBLEM: Final = (b"content-type", b"application/problem+json")


class Kind(NamedTuple):
    """How an error code appears in HTTP."""

    status: int
    title: str
    retry_after_s: int | None = None


KINDS: Final = {
    BrokenContract.code: Kind(422, "The request breaks the contract"),
    InvalidInference.code: Kind(400, "Not a valid request"),
    OutOfRange.code: Kind(422, "The model has no answer for these numbers"),
    RefusedParameter.code: Kind(422, "The model does not take this parameter"),
    UnsupportedEncoding.code: Kind(415, "Content encoding not supported"),
    TwoKeys.code: Kind(400, "Two keys"),
    NotGenerating.code: Kind(409, "No text output"),
    AnswersTexts.code: Kind(409, "Answers texts, not rows"),
    CallerDeadline.code: Kind(504, "The given deadline passed"),
    UnknownRoute.code: Kind(404, "No such route"),
    NotFoundHere.code: Kind(404, "Not found"),
    WrongMethod.code: Kind(405, "Wrong method"),
    Unauthenticated.code: Kind(401, "A valid bearer token is needed"),
    NotAllowed.code: Kind(403, "This key may not do that"),
    TooLarge.code: Kind(413, "Too large"),
    BodyTooSlow.code: Kind(408, "The body did not arrive in time"),
    Busy.code: Kind(503, "Busy", 1),
    SpoolFull.code: Kind(503, "The log spool is full", 5),
    SpoolUnwritable.code: Kind(503, "The log spool cannot be written", 5),
    UpstreamFailed.code: Kind(502, "The model failed"),
    UpstreamUnavailable.code: Kind(503, "No replica answers", 1),
    ProviderBusy.code: Kind(503, "The provider asks to wait", 1),
    UpstreamTimeout.code: Kind(504, "The model took too long"),
}


def kind_of(error: ModelyardError) -> Kind:
    """The HTTP form of an error; one without a row here is 503 when retryable, else 500."""
    other = Kind(503, "Not available") if error.retryable else Kind(500, "The router failed")
    return KINDS.get(error.code, other)


def problem(error: ModelyardError, path: str, headers: list[Header]) -> Reply:
    """A problem document; under /v2 it also has `error`, as the Open Inference Protocol requires."""
    kind, detail = kind_of(error), one_line(str(error))
    document: dict[str, Any] = {
        "type": f"urn:modelyard:problem:{error.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": error.code,
    }
    if error.field:
        document["field"] = exact(error.field)
    if violations := getattr(error, "errors", ()):
        document["errors"] = list(violations)
    if path.startswith("/v2"):
        document["error"] = detail
    return (
        kind.status,
        [*headers, *_headers(kind, getattr(error, "retry_after_s", None))],
        msgspec.json.encode(document),
    )


def _headers(kind: Kind, retry_after_s: int | None = None) -> list[Header]:
    headers = [PROBLEM]
    if kind.status == 503:
        headers.append((b"retry-after", b"%d" % (retry_after_s or kind.retry_after_s or 1)))
    if kind.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if kind.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    return headers
