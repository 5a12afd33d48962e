"""Errors of the router. Each has a stable code and a remedy in its text; api/problems.py maps codes to HTTP."""

from collections.abc import Mapping, Sequence

from modelyard_runtime.errors import ModelyardError


class RouterError(ModelyardError):
    """Base of all errors raised on purpose."""

    code = "router_failed"

    def __init__(self, message: str, *, field: str | None = None, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message, field=field)
        self.errors = errors
        """All violations found, where there can be more than one: {"field", "detail"}."""


class BrokenContract(RouterError):
    """The request does not match the version's signature; the text names the column and the remedy."""

    code = "contract"


class UnknownRoute(RouterError):
    """No route has this name."""

    code = "unknown_route"


class NotFoundHere(RouterError):
    """No endpoint has this path."""

    code = "not_found"


class WrongMethod(RouterError):
    """The path exists, the method does not."""

    code = "method"


class Unauthenticated(RouterError):
    """The request carries no valid key."""

    code = "unauthorized"


class NotAllowed(RouterError):
    """The key is valid but lacks the permission."""

    code = "forbidden"


class TooLarge(RouterError):
    """The request has more bytes or rows than the router accepts; send less."""

    code = "too_large"


class BodyTooSlow(RouterError):
    """The body did not arrive in time."""

    code, retryable = "body_too_slow", True


class Busy(RouterError):
    """A limit of this router is reached; nothing was done."""

    code, retryable = "busy", True


class SpoolFull(Busy):
    """The prediction log has no room left, and no prediction is answered without being logged."""

    code = "spool_full"


class SpoolUnwritable(SpoolFull):
    """The disk refuses writes; the text carries the reason of the operating system."""

    code = "spool_unwritable"


class UpstreamFailed(RouterError):
    """The version answered with an error of its own; another replica would answer the same."""

    code, retryable = "upstream_error", True


class UpstreamUnavailable(RouterError):
    """No replica of the route could be reached; nothing was predicted."""

    code, retryable = "upstream_unavailable", True


class ProviderBusy(RouterError):
    """The provider of the version accepts no more requests for a while; nothing was predicted."""

    code, retryable = "provider_busy", True

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UpstreamTimeout(RouterError):
    """No answer came before the deadline."""

    code, retryable = "upstream_timeout", True


class UnusableRoute(RouterError):
    """A published route table cannot be compiled; the previous one stays."""

    code = "unusable_route"


class SpoolCorrupt(RouterError):
    """A segment file is damaged; no record is skipped silently."""

    code = "spool_corrupt"


class InvalidInference(RouterError):
    """A /v2 request breaks the protocol or the version's signature; the text names the input."""

    code = "invalid_request"


class UnsupportedEncoding(RouterError):
    """The body has a content encoding; send it as it is."""

    code = "unsupported_encoding"


class TwoKeys(RouterError):
    """The request has more than one Authorization header."""

    code = "two_keys"


class CallerDeadline(RouterError):
    """The caller's own deadline passed, before the route's; it is not counted against the version."""

    code, retryable = "caller_deadline", True


class OutOfRange(RouterError):
    """The model has no answer for numbers of this size: the request is at fault, not the version."""

    code = "out_of_range"


class RefusedParameter(RouterError):
    """The version does not take this parameter: the request is at fault, not the version."""

    code = "bad_parameter"


class AnswersTexts(RouterError):
    """The version answers a text with a text, not rows."""

    code = "text_route"


class NotGenerating(RouterError):
    """The route's version has no text output."""

    code = "not_a_text_route"
