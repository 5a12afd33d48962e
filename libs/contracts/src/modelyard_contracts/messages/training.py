"""Requests to the trainer and the progress of runs."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from modelyard_contracts.messages.base import ControlMessage, Field
from modelyard_contracts.numbers import Amount, Count, Finite, Share, VersionNumber


class TrainingRunRequested(ControlMessage):
    """A request for a run; the trainer decides whether it starts."""

    TOPIC: ClassVar[str] = "training.run.requested.v1"

    recipe: str | None = None
    """None takes the recipe of the model's retraining policy."""
    requested_by: str
    reason: str
    dataset_digest: str | None = None
    """None lets the trainer take a snapshot of recent labelled predictions."""
    parameters: dict[str, str] = Field(default_factory=dict)


class RunState(StrEnum):
    """State of a training run; the last four are final."""

    REQUESTED = "requested"
    SNAPSHOTTING = "snapshotting"
    TRAINING = "training"
    REGISTERING = "registering"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"

    @property
    def final(self) -> bool:
        return self in FINAL_RUN_STATES


FINAL_RUN_STATES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.REFUSED})


class TrainingRunChanged(ControlMessage):
    """A run changed its state or reports progress; `revision` is gapless per run."""

    TOPIC: ClassVar[str] = "training.run.changed.v1"

    run_id: UUID
    revision: Count
    state: RunState
    recipe: str
    trigger: str
    """What started it: `request`, or the kind of drift."""
    progress: Share = 0.0
    """Share of the work done, 0 to 1."""
    reason: str = ""
    dataset_digest: str | None = None
    version: VersionNumber | None = None
    """The registered version, once there is one."""
    metrics: dict[str, Finite] = Field(default_factory=dict)
    cost_usd: Amount = 0.0
