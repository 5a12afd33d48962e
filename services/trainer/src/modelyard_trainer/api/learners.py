"""Online learners over HTTP: they are started and stopped by the retraining policy, so this only lists them."""

from datetime import datetime
from typing import Annotated, Literal, Protocol, Self

from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel, Field

from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow, visible
from modelyard_trainer.domain.learners import Learner, LearnerStatus
from modelyard_trainer.usecases import Deps

KIND = "run"


class Processes(Protocol):
    """The processes of learners; see online.supervisor."""

    def alive(self, learner: Learner) -> bool: ...

    def status(self, learner: Learner) -> LearnerStatus: ...


class LearnerInfo(BaseModel):
    """An online learner of a model."""

    model: str
    learner: Literal["forest", "linear"]
    state: Literal["running", "waiting", "stopped"]
    """`waiting`: it should run and does not; `reason` says why. `stopped`: the policy does not name it."""
    reason: str
    learned_rows: int = Field(ge=0)
    left_out_rows: int = Field(ge=0)
    """Labels that could not be used: another signature, an unknown class, a wrong number of features."""
    lag_s: float | None
    """Age of the newest label of the last batch; 0 if no label is waiting."""
    memory_mib: float
    publish_every_rows: int
    version: int | None
    """Newest published snapshot."""
    published_rows: int
    """Rows that it has learned."""
    published_at: datetime | None
    failures: int
    retry_at: datetime | None

    @classmethod
    def of(cls, learner: Learner, status: LearnerStatus, alive: bool) -> Self:
        running = "running" if alive else "waiting"
        return cls(
            model=learner.model,
            learner=learner.kind,
            state=running if learner.wanted else "stopped",
            reason=learner.reason,
            learned_rows=status.learned,
            left_out_rows=status.left_out,
            lag_s=status.lag_s,
            memory_mib=status.memory_mib,
            publish_every_rows=learner.publish_every_rows,
            version=learner.versions[-1] if learner.versions else None,
            published_rows=learner.published_rows,
            published_at=learner.published_at,
            failures=learner.failures,
            retry_at=learner.retry_at,
        )


class LearnerList(BaseModel):
    items: list[LearnerInfo]


def add_learners(app: FastAPI, deps: Deps, processes: Processes) -> None:
    """Add the endpoint of online learners."""

    @app.get("/v1/learners", tags=["learners"])
    def list_learners(
        principal: Annotated[Principal, Depends(allow("read", KIND, over="any-workspace"))],
        model: Annotated[str | None, Query(pattern=REFERENCE_PATTERN, max_length=192)] = None,
    ) -> LearnerList:
        """List online learners: what they have learned and published, and why one does not run."""
        found = [] if deps.learners is None else deps.learners.of(model, visible(principal, "read", KIND))
        return LearnerList(items=[LearnerInfo.of(one, processes.status(one), processes.alive(one)) for one in found])
