"""Results of the trainer."""

from datetime import datetime
from typing import Any

from pydantic import Field

from modelyard.results.base import Result
from modelyard_contracts import RunState


class TrainingRun(Result):
    """A training run."""

    run_id: str
    model: str
    state: RunState
    correlation_id: str
    recipe: str = ""
    trigger: str = "request"
    """`request`, or the kind of drift."""
    why: str = ""
    """Reason of the request, or of the drift."""
    reason: str = ""
    """Explains the state."""
    refusal: str | None = None
    """Why the policy refused it."""
    log: tuple[str, ...] = ()
    """The newest log lines, oldest first; empty in lists."""
    requested_by: str = ""
    parameters: dict[str, str] = Field(default_factory=dict)
    """Of the recipe, as requested."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Task, target, time and columns, as requested."""
    policy: dict[str, Any] = Field(default_factory=dict)
    """The retraining policy when the run was created."""
    progress: float = 0.0
    version: int | None = None
    """The version that it registered."""
    dataset_digest: str | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    cost_usd: float = 0.0
    cause_id: str | None = None
    """The event that led to the run."""
    given_dataset: str | None = None
    """The dataset of the request; None when the trainer takes a snapshot."""
    as_of: datetime | None = None
    """Rows and labels up to this moment are used."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    revision: int = 0
    attempt: int = 0
    cancel_requested: bool = False

    @property
    def ended(self) -> bool:
        return self.state in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.REFUSED}


class RunPage(Result):
    """Runs, newest first."""

    items: tuple[TrainingRun, ...]
    next_after: str | None = None
    """Pass it as `after` for the next page; None on the last one."""


class Recipe(Result):
    """A recipe of the trainer."""

    name: str
    tasks: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """Packages that it needs."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """JSON schema of its parameters."""


class OnlineLearner(Result):
    """A model that learns from each label as it arrives, and publishes snapshots as versions."""

    model: str
    learner: str
    state: str
    """`running`, `waiting` or `stopped`."""
    reason: str = ""
    learned_rows: int = 0
    left_out_rows: int = 0
    lag_s: float | None = None
    """Age of the newest label of the last batch; 0 if no label is waiting."""
    memory_mib: float = 0.0
    publish_every_rows: int = 0
    version: int | None = None
    """Newest published snapshot."""
    published_rows: int = 0
    published_at: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None
