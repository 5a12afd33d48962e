"""The evaluator's API."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from modelyard.results import Disagreement, EvaluationRun, PublishedReport
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

    def disagreements(
        self,
        evaluation_id: UUID | str,
        *,
        only: Literal["challenger_right", "champion_right"] | None = None,
        limit: int = 100,
    ) -> tuple[Disagreement, ...]:
        """A sample of the rows on which only one version is right, newest first on each side."""
        found = self.items(f"/v1/evaluations/{evaluation_id}/rows", only=only, limit=limit)
        return tuple(map(Disagreement.model_validate, found))

    def evaluations(
        self, model: str | None = None, *, versions: Sequence[tuple[str, int]] = (), limit: int = 100
    ) -> tuple[EvaluationRun, ...]:
        """Newest first, at most `limit`; of all models without one. versions: of these challengers, at most 100."""
        asked = [f"{name}@{number}" for name, number in versions] or None
        found = self.items("/v1/evaluations", model=model, version=asked, limit=limit)
        return tuple(map(EvaluationRun.model_validate, found))

    def publish_report(self, model: str, report: Mapping[str, Any]) -> PublishedReport:
        """Store the content of a report.json of `modelyard demo` or `modelyard backtest`; the same one once."""
        return PublishedReport.model_validate(self.post("/v1/loop-reports", {"model": model, "report": dict(report)}))

    def loop_reports(self, model: str | None = None, *, limit: int = 50) -> tuple[PublishedReport, ...]:
        """Published reports without their curves, newest first."""
        return tuple(map(PublishedReport.model_validate, self.items("/v1/loop-reports", model=model, limit=limit)))

    def loop_report(self, report_id: UUID | str) -> PublishedReport:
        """One report with its curves."""
        return PublishedReport.model_validate(self.get(f"/v1/loop-reports/{report_id}"))
