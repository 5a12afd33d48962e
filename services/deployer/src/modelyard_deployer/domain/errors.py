"""Errors that the deployer raises on purpose."""

from modelyard_runtime.errors import Conflict, ModelyardError


class NothingToRollBack(Conflict):
    """The model has no version to roll back to."""

    code = "nothing_to_roll_back"


class NothingToAbort(Conflict):
    """No rollout of the model is in progress."""

    code = "nothing_to_abort"


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
