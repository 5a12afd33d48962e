"""The trainer's API."""

from collections.abc import Mapping
from uuid import UUID

from modelyard.registry import _text
from modelyard.results import TrainingRun
from modelyard.transport import ApiClient


class TrainerClient(ApiClient):
    """Training runs. `changes()` follows them."""

    def start_run(
        self,
        model: str,
        *,
        reason: str,
        recipe: str | None = None,
        dataset_digest: str | None = None,
        task: str | None = None,
        columns: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        correlation_id: UUID | str | None = None,
        idempotency_key: str | None = None,
    ) -> TrainingRun:
        """Request a run; without a dataset the trainer takes a snapshot. The same key gives the same run.

        task: `binary`, `multiclass`, `regression` or `text`; None lets the trainer decide.
        columns: types of columns that differ from those the trainer infers.
        """
        body = {
            "model": model,
            "recipe": recipe,
            "dataset_digest": dataset_digest,
            "task": task,
            "columns": dict(columns) if columns else None,
            "parameters": dict(parameters) if parameters else None,
            "reason": reason,
            "correlation_id": _text(correlation_id),
            "idempotency_key": idempotency_key,
        }
        return TrainingRun.model_validate(self.post("/v1/runs", body))

    def run(self, run_id: UUID | str) -> TrainingRun:
        return TrainingRun.model_validate(self.get(f"/v1/runs/{run_id}"))

    def runs(self, model: str | None = None, *, limit: int = 100) -> tuple[TrainingRun, ...]:
        """Newest first, at most `limit`; of all models without one."""
        return tuple(map(TrainingRun.model_validate, self.items("/v1/runs", model=model, limit=limit)))

    def cancel_run(self, run_id: UUID | str) -> TrainingRun:
        return TrainingRun.model_validate(self.post(f"/v1/runs/{run_id}/cancel"))
