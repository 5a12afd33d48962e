"""Request models of the API."""

from uuid import UUID

from pydantic import Field

from modelyard_contracts import Part
from modelyard_contracts.signature import MAX_COLUMNS, ColumnType, Task
from modelyard_trainer.domain.data import TARGET, TIME, DataSpec
from modelyard_trainer.usecases import RunRequest


class StartRun(Part):
    """The body of POST /v1/runs."""

    model: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")
    recipe: str | None = None
    """None: the recipe of the model's retraining policy."""
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
    parameters: dict[str, str] = Field(default_factory=dict)
    reason: str = Field(default="requested by API", max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: str | None = Field(default=None, max_length=200)

    def as_request(self, requested_by: str) -> RunRequest:
        """The use case's argument."""
        return RunRequest(
            model=self.model,
            reason=self.reason,
            requested_by=requested_by,
            recipe=self.recipe,
            dataset_digest=self.dataset_digest,
            parameters=self.parameters,
            data=DataSpec(
                task=self.task,
                target=self.target,
                time=self.time,
                columns=self.columns,
                new_contract=self.new_contract,
            ),
            correlation_id=self.correlation_id,
        )
