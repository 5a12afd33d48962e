"""Request and response models of the API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, field_validator

from modelyard_contracts import Part, RunState
from modelyard_contracts.policies import RetrainPolicy, Window
from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_contracts.signature import MAX_COLUMNS, ColumnType, Task
from modelyard_trainer.domain.data import TARGET, TIME, DataSpec
from modelyard_trainer.domain.run import Run
from modelyard_trainer.usecases import RunRequest


class StartRun(Part):
    """The body of POST /v1/runs."""

    model: str = Field(pattern=REFERENCE_PATTERN, max_length=192)
    """Reference of the model: `name` or `workspace:name`."""
    recipe: str | None = Field(default=None, max_length=128)
    """None: the recipe of the policy, else of the serving version, else the built-in one for the data's task."""
    dataset_digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """None: a snapshot of recent labelled predictions."""
    task: Task | None = None
    """None: the serving version's task, else inferred from the target column."""
    target: str = Field(default=TARGET, min_length=1, max_length=256)
    """Target column of the dataset."""
    time: str | None = Field(default=TIME, min_length=1, max_length=256)
    """Time column of the dataset; null if its rows are in order of time."""
    columns: dict[str, ColumnType] = Field(default_factory=dict, max_length=MAX_COLUMNS)
    """Types of columns that differ from the inferred ones."""
    new_contract: bool = False
    """True makes a new signature from the dataset instead of keeping the serving version's."""
    windows: tuple[Window, ...] = Field(default=(), max_length=4)
    """Training windows to try. Empty: those of the policy; for a dataset, all of its rows."""
    parameters: dict[str, str] = Field(default_factory=dict)
    reason: str = Field(default="requested by API", max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: str | None = Field(default=None, max_length=200)

    @field_validator("windows")
    @classmethod
    def _each_once(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(windows)) != len(windows):
            raise ValueError("name each window once")
        return windows

    def as_request(self, requested_by: str) -> RunRequest:
        """The use case's argument."""
        return RunRequest(
            model=self.model,
            reason=self.reason,
            requested_by=requested_by,
            recipe=self.recipe,
            dataset_digest=self.dataset_digest,
            parameters=self.parameters,
            windows=self.windows,
            data=DataSpec(
                task=self.task,
                target=self.target,
                time=self.time,
                columns=self.columns,
                new_contract=self.new_contract,
            ),
            correlation_id=self.correlation_id,
        )


class CancelRun(Part):
    """The optional body of POST /v1/runs/{run_id}/cancel."""

    reason: str = Field(default="", max_length=2_000)


class RunInfo(BaseModel):
    """A training run."""

    run_id: UUID
    model: str
    recipe: str
    """`auto` until the worker has read the data."""
    state: RunState
    percent: int = Field(ge=0, le=100)
    progress: float = Field(ge=0, le=1)
    reason: str
    """Explains the state: the current step, or why the run failed or was refused."""
    log: tuple[str, ...]
    """The newest log lines, oldest first; empty in lists."""
    trigger: str
    why: str
    requested_by: str
    parameters: dict[str, str]
    windows: tuple[Window, ...]
    """Training windows that the request names."""
    change_at: datetime | None
    """Time of the first row after the change that the drift names."""
    data: DataSpec
    policy: RetrainPolicy
    correlation_id: UUID
    cause_id: UUID | None
    given_dataset: str | None
    as_of: datetime
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    revision: int
    attempt: int
    cancel_requested: bool
    refusal: str | None
    dataset_digest: str | None
    version: int | None
    metrics: dict[str, float]
    cost_usd: float

    @classmethod
    def of(cls, run: Run, log: Sequence[str] = ()) -> Self:
        return cls(run_id=run.id, percent=int(run.progress * 100), log=tuple(log), **dict(run))


class RunList(BaseModel):
    """Runs, newest first."""

    items: list[RunInfo]
    next_after: UUID | None = None
    """Pass it as `after` for the next page; null on the last one."""


class RecipeInfo(BaseModel):
    """A recipe of this installation."""

    name: str
    tasks: tuple[Task, ...]
    inputs: tuple[str, ...]
    needs: tuple[str, ...]
    """Required packages."""
    parameters: dict[str, Any]
    """JSON schema of the parameters."""


class RecipeList(BaseModel):
    items: list[RecipeInfo]
