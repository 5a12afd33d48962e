"""Errors of an evaluation, by their consequence."""

from modelyard_runtime.errors import ModelyardError, Retryable


class Unreachable(Retryable):
    """A dependency does not answer; the same step may succeed later."""

    code = "dependency_unreachable"


class NotMeasurable(ModelyardError):
    """The comparison has no answer: a version, a dataset or its bytes are missing or unusable."""

    code = "not_measurable"


class ChallengerBroken(ModelyardError):
    """The challenger cannot be loaded or does not answer within its limits; this is evidence against it."""

    code = "challenger_broken"


class StaleEvaluation(Retryable):
    """The row was written after it was read; read it again, then retry."""

    code = "stale_evaluation"
