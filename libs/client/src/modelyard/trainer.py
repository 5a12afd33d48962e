"""The trainer's API."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from modelyard.results import OnlineLearner, Recipe, RunPage, TrainingRun
from modelyard.transport import ApiClient, given, text

DEFAULT_TIME: Final = "occurred_at"


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
        target: str | None = None,
        time: str | None = DEFAULT_TIME,
        columns: Mapping[str, str] | None = None,
        new_contract: bool = False,
        windows: Sequence[str] = (),
        parameters: Mapping[str, str] | None = None,
        correlation_id: UUID | str | None = None,
        idempotency_key: str | None = None,
    ) -> TrainingRun:
        """Request a run; without a dataset the trainer takes a snapshot. The same key gives the same run.

        task: `binary`, `multiclass`, `regression`; None lets the trainer decide. target, time: columns of the dataset;
        time None: its rows are in order of time. columns: types that differ from those the trainer infers.
        new_contract: make a new signature from the dataset instead of keeping the serving version's. windows: training
        windows to try; without them those of the policy, and all rows of a dataset.
        """
        body = {
            "model": model,
            "recipe": recipe,
            "dataset_digest": dataset_digest,
            "task": task,
            "target": target,
            "new_contract": new_contract or None,
            "columns": dict(columns) if columns else None,
            "windows": list(windows) or None,
            "parameters": dict(parameters) if parameters else None,
            "reason": reason,
            "correlation_id": text(correlation_id),
            "idempotency_key": idempotency_key,
        }
        sent = given(body)
        if time != DEFAULT_TIME:
            sent["time"] = time
        return TrainingRun.model_validate(self.request("POST", "/v1/runs", json=sent).json())

    def run(self, run_id: UUID | str) -> TrainingRun:
        return TrainingRun.model_validate(self.get(f"/v1/runs/{run_id}"))

    def runs(
        self, model: str | None = None, *, versions: Sequence[tuple[str, int]] = (), limit: int = 100
    ) -> tuple[TrainingRun, ...]:
        """Newest first, at most `limit`; of all models without one. versions: runs that registered one of these."""
        asked = [f"{name}@{number}" for name, number in versions] or None
        found = self.items("/v1/runs", model=model, version=asked, limit=limit)
        return tuple(map(TrainingRun.model_validate, found))

    def run_page(
        self, model: str | None = None, *, states: Sequence[str] = (), limit: int = 100, after: str | None = None
    ) -> RunPage:
        """One page of the runs of a model, or of all, newest first. states: only runs in one of them."""
        found = self.get("/v1/runs", model=model, state=list(states) or None, limit=limit, after=after)
        return RunPage.model_validate(found)

    def cancel_run(self, run_id: UUID | str, *, reason: str = "") -> TrainingRun:
        """Cancel a run that is not being registered yet."""
        return TrainingRun.model_validate(self.post(f"/v1/runs/{run_id}/cancel", {"reason": reason or None}))

    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes with the tasks they train."""
        return tuple(map(Recipe.model_validate, self.items("/v1/recipes")))

    def learners(self, model: str | None = None) -> tuple[OnlineLearner, ...]:
        """Online learners of a model, or of all; the retraining policy's `online` starts and stops them."""
        return tuple(map(OnlineLearner.model_validate, self.items("/v1/learners", model=model)))
