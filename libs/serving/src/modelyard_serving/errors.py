"""Errors of a model server, each with its HTTP status and a stable code."""

from typing import ClassVar, Final

import msgspec

from modelyard_contracts.sentences import exact, one_line, plain
from modelyard_flavours.errors import BadParameter, ProviderError

_ENCODE: Final = msgspec.json.Encoder().encode


class ServingError(Exception):
    """Base of all errors raised on purpose."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "model_failed"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        """Name of the input at fault, if there is one."""


class BadRequest(ServingError):
    """The request breaks the protocol or the version's signature; the text names the input and the remedy."""

    status, code = 400, "bad_request"


class OutOfRange(BadRequest):
    """The model has no answer for numbers of this size; the request is at fault, not the version."""

    code = "out_of_range"


class RefusedParameter(BadRequest):
    """The model does not take this parameter, or not with this value; the request is at fault, not the version."""

    code = "bad_parameter"


class Unauthorized(ServingError):
    """The serving token is missing or wrong."""

    status, code = 401, "unauthorized"


class NotFound(ServingError):
    """No such path, model or version."""

    status, code = 404, "not_found"


class WrongMethod(ServingError):
    """The path exists, but not for this method."""

    status, code = 405, "method_not_allowed"


class BodyTooSlow(ServingError):
    """The body did not arrive in time."""

    status, code, retryable = 408, "request_timeout", True


class TooLarge(ServingError):
    """More bytes or rows than allowed in one request."""

    status, code = 413, "too_large"


class UnsupportedEncoding(ServingError):
    """The body is compressed."""

    status, code = 415, "unsupported_encoding"


class Overloaded(ServingError):
    """Too much work is waiting; nothing was done."""

    status, code, retryable = 503, "overloaded", True


class DeadlinePassed(ServingError):
    """The caller's deadline passed before there was an answer."""

    status, code, retryable = 504, "deadline_passed", True


class Unloadable(ServingError):
    """The files are not those the manifest names, or the flavour refuses them."""

    code = "unloadable"


class ProviderFailed(ServingError):
    """The provider of the version gave no answer; `code` is that of ProviderError."""

    status, code = 502, "provider_failed"
    _STATUS: ClassVar = {"provider_rate_limited": 429, "provider_timeout": 504}

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.code, self.retry_after_s = error.code, error.retry_after_s  # type: ignore[misc]
        self.status = self._STATUS.get(error.code, ProviderFailed.status)  # type: ignore[misc]


def serving_error(error: Exception) -> ServingError:
    """An error of a model as one of ours."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, BadParameter):
        return RefusedParameter(str(error), field=error.field)
    if isinstance(error, ProviderError):
        return ProviderFailed(error)
    return ServingError(f"the model failed: {type(error).__name__}: {plain(str(error), 300)}")


def refusal(error: Exception) -> tuple[int, bytes]:
    """Status and body: the protocol's error object with our code and the input at fault."""
    known = serving_error(error)
    body: dict[str, object] = {"error": one_line(str(known)), "code": known.code}
    if known.field:
        body["field"] = exact(known.field)
    if (pause_s := pause_of(known)) is not None:
        body["retry_after_s"] = pause_s
    return known.status, _ENCODE(body)


def pause_of(error: Exception) -> int | None:
    """Seconds that the provider of the version asks to wait."""
    return error.retry_after_s if isinstance(error, ProviderFailed | ProviderError) else None
