"""Errors that the deployer raises on purpose."""

from modelyard_runtime.errors import Conflict, ModelyardError


class NothingToRollBack(Conflict):
    """The model has no version to roll back to."""

    code = "nothing_to_roll_back"


class NothingToAbort(Conflict):
    """No rollout of the model is in progress."""

    code = "nothing_to_abort"


class NoOpenStep(Conflict):
    """The rollout does not shift traffic step by step now: it has ended, prepares, or has all traffic."""

    code = "no_open_step"


class StepPassed(Conflict):
    """The rollout is at another step than the request names; read it again."""

    code = "step_passed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, field="step")


class NotApproved(Conflict):
    """The version holds a live share while its comparison is undecided; approve it before it gets more traffic."""

    code = "not_approved"


class StaleRollout(ModelyardError):
    """Another writer changed the row after we read it; read again, then retry."""

    retryable = True
    code = "stale_rollout"


class RegistryUnavailable(ModelyardError):
    """The registry is temporarily unavailable."""

    retryable = True
    code = "registry_unavailable"


class VersionUnusable(ModelyardError):
    """The version cannot be served: it does not exist, is not approved, or its files fail verification."""

    code = "version_unusable"
