"""A training run, and the event that tells of it."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from modelyard_contracts import Part, RunState, TrainingRunChanged, UtcDatetime, derived_id
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.states import Signal, next_state

REQUEST_TRIGGER = "request"


class Run(Part):
    """One attempt to make a new version; frozen, a change is a new value with the next revision."""

    id: UUID
    model: str
    recipe: str
    state: RunState = RunState.REQUESTED
    trigger: str = REQUEST_TRIGGER
    """`request`, or the kind of drift."""
    why: str = ""
    """In the words of who asked."""
    reason: str = ""
    """Of the present state: why refused, failed; what is going on."""
    requested_by: str = ""
    parameters: dict[str, str] = Field(default_factory=dict)
    policy: RetrainPolicy = Field(default_factory=RetrainPolicy)
    """As it was when the run began; a change of the policy does not reach a run."""
    correlation_id: UUID
    cause_id: UUID | None = None
    given_dataset: str | None = None
    """Digest asked for; None: a snapshot."""
    as_of: UtcDatetime
    """The snapshot's moment: labels that came later are not seen, however often the run is started again."""
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
    version: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    cost_usd: float = 0.0

    def moved(self, signal: Signal, *, at: datetime, **changes: Any) -> Self:
        """The run after `signal`; IllegalMove when the table does not hold it."""
        state = next_state(self.state, signal)
        ended = {"ended_at": at} if state.final else {}
        return self.told(state=state, **{**ended, **changes})

    def told(self, **changes: Any) -> Self:
        """The run with changes that readers should hear of: one revision on."""
        return self.model_validate({**dict(self), **changes, "revision": self.revision + 1})

    def event(self, at: datetime) -> TrainingRunChanged:
        """What this revision says; its id is derived, so telling it twice is telling it once."""
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
            metrics=self.metrics,
            cost_usd=self.cost_usd,
        )
