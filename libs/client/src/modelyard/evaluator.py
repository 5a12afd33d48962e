"""The evaluator's API."""

from uuid import UUID

from modelyard.results import EvaluationRun
from modelyard.transport import ApiClient


class EvaluatorClient(ApiClient):
    """Evaluations and their reports. `changes()` follows them."""

    def evaluate(
        self, model: str, challenger_version: int, *, reason: str, champion_version: int | None = None
    ) -> EvaluationRun:
        """Request an evaluation; without a champion against the version that serves."""
        body = {
            "model": model,
            "challenger_version": challenger_version,
            "champion_version": champion_version,
            "reason": reason,
        }
        return EvaluationRun.model_validate(self.post("/v1/evaluations", body))

    def evaluation(self, evaluation_id: UUID | str) -> EvaluationRun:
        """One evaluation with its full report."""
        return EvaluationRun.model_validate(self.get(f"/v1/evaluations/{evaluation_id}"))

    def evaluations(self, model: str | None = None, *, limit: int = 100) -> tuple[EvaluationRun, ...]:
        """Newest first, at most `limit`; of all models without one."""
        return tuple(map(EvaluationRun.model_validate, self.items("/v1/evaluations", model=model, limit=limit)))
