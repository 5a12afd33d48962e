"""What the router says when it does not answer; each has an HTTP number, a stable word and a remedy in its text."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from modelyard_runtime.errors import ModelyardError


class RouterError(ModelyardError):
    """Base of all errors raised on purpose."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "The router failed"
    code: ClassVar[str] = "router_failed"
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, message: str, *, field: str | None = None, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message, field=field)
        self.errors = errors
        """Every fault found, when there can be more than one: {"field", "detail"}."""


class BrokenContract(RouterError):
    """The request is not what the route's version takes; the text names the feature and the remedy."""

    status, code, title = 422, "contract", "The request breaks the contract"


class UnknownRoute(RouterError):
    status, code, title = 404, "unknown_route", "No such route"


class NotFoundHere(RouterError):
    status, code, title = 404, "not_found", "Not found"


class WrongMethod(RouterError):
    status, code, title = 405, "method", "Wrong method"


class Unauthenticated(RouterError):
    status, code, title = 401, "unauthorized", "A valid bearer token is needed"


class NotAllowed(RouterError):
    status, code, title = 403, "forbidden", "This key may not do that"


class TooLarge(RouterError):
    """More bytes than the router takes at once; send less."""

    status, code, title = 413, "too_large", "Too large"


class BodyTooSlow(RouterError):
    status, code, title, retryable = 408, "body_too_slow", "The body did not arrive in time", True


class Busy(RouterError):
    """A limit of this router is reached; nothing was done."""

    status, code, title, retryable, retry_after_s = 503, "busy", "Busy", True, 1


class SpoolFull(Busy):
    """The prediction log cannot be kept, and a prediction is never answered without it."""

    code, title, retry_after_s = "spool_full", "The log spool is full", 5


class SpoolUnwritable(SpoolFull):
    """The disk refuses; the text carries its words."""

    code, title = "spool_unwritable", "The log spool cannot be written"


class UpstreamFailed(RouterError):
    """The version answered with an error of its own; another replica would give the same."""

    status, code, title, retryable = 502, "upstream_error", "The model failed", True


class UpstreamGone(RouterError):
    """No replica of the route could be reached; nothing was predicted."""

    status, code, title, retryable, retry_after_s = 503, "upstream_unavailable", "No replica answers", True, 1


class UpstreamTimeout(RouterError):
    status, code, title, retryable = 504, "upstream_timeout", "The model took too long", True


class UnusableRoute(RouterError):
    """A published table that cannot be compiled; the one before stays."""

    code, title = "unusable_route", "The route table cannot be used"


class SpoolCorrupt(RouterError):
    """Bytes of a segment are not what was written; nothing is skipped silently."""

    code, title = "spool_corrupt", "The log spool is damaged"
