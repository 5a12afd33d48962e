"""What a model server says when it cannot answer; each has an HTTP number and a stable word."""

from typing import ClassVar


class ServingError(Exception):
    """Base of all errors raised on purpose."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "model_failed"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        """The input that is at fault, if one is."""


class BadRequest(ServingError):
    """The request breaks the protocol or the version's contract; its text names the input and the remedy."""

    status, code = 400, "bad_request"


class TooLarge(ServingError):
    """More bytes or rows than this server takes at once; send fewer."""

    status, code = 413, "too_large"


class Overloaded(ServingError):
    """Too much is waiting already; nothing was done."""

    status, code, retryable = 503, "overloaded", True


class DeadlinePassed(ServingError):
    """The caller's time was up before the prediction began; nothing was done."""

    status, code, retryable = 504, "deadline_passed", True


class Unloadable(ServingError):
    """The files are not the ones the manifest names, or the flavour refuses them."""

    code = "unloadable"
