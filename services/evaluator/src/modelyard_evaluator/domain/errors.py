"""Errors of an evaluation, by their consequence."""

from modelyard_runtime.errors import ModelyardError, Retryable


class Unreachable(Retryable):
    """A dependency does not answer; the same step may succeed later."""

    code = "dependency_unreachable"


class NotMeasurable(ModelyardError):
    """The comparison has no answer: a version, a dataset or its bytes are missing or unusable."""

    code = "not_measurable"


class UnreadableVersion(NotMeasurable):
    """The version exists, but this release cannot read its manifest."""

    code = "unreadable_version"

    def __init__(self, message: str, digest: str) -> None:
        super().__init__(message)
        self.digest = digest


class ChallengerBroken(ModelyardError):
    """The challenger cannot be loaded or does not answer within its limits; this is evidence against it."""

    code = "challenger_broken"


class StaleEvaluation(Retryable):
    """The row was written after it was read; read it again, then retry."""

    code = "stale_evaluation"
