"""A training run, and the event that each of its revisions emits."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from modelyard_contracts import Part, RunState, TrainingRunChanged, UtcDatetime, derived_id
from modelyard_contracts.numbers import finite_only
from modelyard_contracts.policies import RetrainPolicy, Window
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.states import Signal, next_state

REQUEST_TRIGGER = "request"


class Run(Part):
    """A run that makes a new version. Frozen: a change is a new value with the next revision."""

    id: UUID
    model: str
    recipe: str
    state: RunState = RunState.REQUESTED
    trigger: str = REQUEST_TRIGGER
    """`request`, or the kind of drift."""
    why: str = ""
    """Reason given with the request."""
    reason: str = ""
    """Explains the current state: why it was refused or failed, or which step is running."""
    requested_by: str = ""
    parameters: dict[str, str] = Field(default_factory=dict)
    policy: RetrainPolicy = Field(default_factory=RetrainPolicy)
    """The policy when the run was created; later changes do not affect the run."""
    correlation_id: UUID
    cause_id: UUID | None = None
    windows: tuple[Window, ...] = ()
    """Training windows that the request names; none: those of the policy, and for a given dataset all of its rows."""
    change_at: UtcDatetime | None = None
    """Time of the first row after the change that the drift names."""
    data: DataSpec = Field(default_factory=DataSpec)
    given_dataset: str | None = None
    """Digest of the requested dataset; None: take a snapshot."""
    as_of: UtcDatetime
    """Moment of the snapshot: labels that arrive later are not used, even if the run is restarted."""
    created_at: UtcDatetime
    started_at: UtcDatetime | None = None
    ended_at: UtcDatetime | None = None
    revision: int = 1
    attempt: int = 0
    """Workers started so far."""
    cancel_requested: bool = False
    refusal: str | None = None
    """Code of the rule that refused it."""
    progress: float = Field(default=0.0, ge=0.0, le=1.0)
    dataset_digest: str | None = None
    rows: int | None = None
    """Rows of the dataset; None before they are read, and for runs of before."""
    version: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    cost_usd: float = 0.0

    def moved(self, signal: Signal, *, at: datetime, **changes: Any) -> Self:
        """The run after `signal`; IllegalMove if the state table does not allow it."""
        state = next_state(self.state, signal)
        ended = {"ended_at": at} if state.final else {}
        return self.changed(state=state, **{**ended, **changes})

    def changed(self, **changes: Any) -> Self:
        """The next revision of the run, with changes that are published."""
        return self.model_validate({**dict(self), **changes, "revision": self.revision + 1})

    def event(self, at: datetime) -> TrainingRunChanged:
        """The event of this revision. Its id is derived from run and revision, so a repeat is a duplicate."""
        return TrainingRunChanged(
            event_id=derived_id("training-run", self.id, self.revision),
            occurred_at=at,
            correlation_id=self.correlation_id,
            cause_id=self.cause_id,
            model=self.model,
            run_id=self.id,
            revision=self.revision,
            state=self.state,
            recipe=self.recipe,
            trigger=self.trigger,
            progress=self.progress,
            reason=self.reason or self.why,
            dataset_digest=self.dataset_digest,
            version=self.version,
            metrics=finite_only(self.metrics),
            cost_usd=self.cost_usd,
        )
