"""Errors of the trainer; the retryable ones derive from Retryable."""

from modelyard_contracts import RunState
from modelyard_runtime.errors import Conflict, Invalid, NotFound, Retryable


class UnknownRun(NotFound):
    code = "run_not_found"

    def __init__(self, run_id: object) -> None:
        super().__init__(f"there is no run {run_id}", field="run_id")


class UnknownModel(NotFound):
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"the registry has no model {model}; create it first", field="model")


class IllegalMove(Conflict):
    """The state table does not hold this move."""

    code = "illegal_move"

    def __init__(self, state: RunState, signal: str) -> None:
        super().__init__(f"a run that is {state.value} cannot be {signal}")


class OpenRun(Conflict):
    """A model may have one open run at a time."""

    code = "run_open"

    def __init__(self, model: str, run_id: object) -> None:
        super().__init__(f"model {model} has the open run {run_id}; wait for it or cancel it", field="model")


class BadRequest(Invalid):
    """The request cannot be trained; the text names the field and the remedy."""

    code = "bad_run_request"


class RayMissing(Invalid):
    """Ray cannot be imported; a further attempt would fail the same way."""

    code = "ray_missing"

    def __init__(self, error: ImportError) -> None:
        super().__init__(f"Ray cannot be used here ({error}); pip install ray beside the trainer")


class ClusterAway(Retryable):
    """No Ray cluster answers at RAY_ADDRESS."""

    code = "ray_cluster_away"


class RayNotStarted(Retryable):
    """A local Ray did not start; a busy machine may be slower than Ray waits."""

    code = "ray_not_started"

    def __init__(self, error: Exception) -> None:
        super().__init__(f"Ray did not start on this machine ({error}); free its cores and memory, or set RAY_ADDRESS")


class RegistryAway(Retryable):
    """The registry did not answer; nothing was changed."""

    code = "registry_away"
