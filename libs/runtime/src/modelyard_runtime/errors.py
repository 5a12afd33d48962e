"""Errors raised on purpose; each states what the caller may do.

The consumer loop retries what is `retryable`, dead-letters our other errors, and stops the partition on an exception it
does not know. HTTP numbers live in http/problems.py.
"""

from collections.abc import Mapping
from typing import ClassVar


class ModelyardError(Exception):
    """Base of all errors raised on purpose."""

    retryable: ClassVar[bool] = False
    """True: the same attempt may succeed later; nothing was changed."""
    code: ClassVar[str] = "error"
    """Stable word for programs, such as `stale_revision`."""

    def __init__(self, message: str = "", *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        """Name of the input field that is at fault, if one is."""
        self.remedy = remedy
        """What the caller can do about it, where the message does not say so."""
        self.extension: Mapping[str, object] = {}
        """Further members of its problem document (RFC 9457, section 3.2)."""


class Retryable(ModelyardError):
    """Another system is unavailable; back off and try again."""

    retryable = True
    code = "retryable"


class NotFound(ModelyardError):
    """The requested resource does not exist (HTTP 404)."""

    code = "not_found"


class Conflict(ModelyardError):
    """The current state does not allow it; read again, then decide (HTTP 409)."""

    code = "conflict"


class Invalid(ModelyardError):
    """The input is invalid; the text names the field and the remedy (HTTP 422)."""

    code = "invalid"


class MessageTooLarge(Invalid):
    """The broker would refuse it for ever, and later messages would wait."""

    code = "message_too_large"


class BrokerAway(Retryable):
    """Kafka cannot be reached, or did not answer in time."""

    code = "broker_away"


class Forbidden(ModelyardError):
    """The caller is known but not allowed (HTTP 403)."""

    code = "forbidden"


class Unavailable(ModelyardError):
    """The service cannot answer now; try again later (HTTP 503)."""

    retryable = True
    code = "unavailable"


class StartupError(ModelyardError):
    """The service cannot start; one line names what is wrong and the remedy (exit code 2)."""

    code = "startup"


def named(error: BaseException) -> bool:
    """Whether this is one of our own error types, which declare `retryable`."""
    return isinstance(getattr(type(error), "retryable", None), bool)


def retryable(error: BaseException) -> bool:
    """Whether the same attempt may succeed later."""
    return getattr(type(error), "retryable", None) is True
