"""The APIs of the services around the loop: trainer, evaluator, deployer, monitor. Answers are their JSON as it is."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from modelyard.registry import _part, _text
from modelyard.transport import ApiClient

Json = dict[str, Any]


class TrainerClient(ApiClient):
    """Training runs."""

    def start_run(
        self,
        model: str,
        *,
        reason: str,
        recipe: str | None = None,
        dataset_digest: str | None = None,
        parameters: dict[str, str] | None = None,
        correlation_id: UUID | str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Ask for a run; without a dataset the trainer takes a snapshot. The same key gives the same run."""
        body = {
            "model": model,
            "recipe": recipe,
            "dataset_digest": dataset_digest,
            "parameters": parameters,
            "reason": reason,
            "correlation_id": _text(correlation_id),
            "idempotency_key": idempotency_key,
        }
        return _object(self.post("/v1/runs", body))

    def run(self, run_id: UUID | str) -> Json:
        return _object(self.get(f"/v1/runs/{run_id}"))

    def runs(self, model: str | None = None, *, limit: int = 100) -> list[Json]:
        """Newest first, at most `limit`; of all models without one."""
        return _items(self.get("/v1/runs", model=model, limit=limit))

    def cancel_run(self, run_id: UUID | str) -> Json:
        return _object(self.post(f"/v1/runs/{run_id}/cancel"))


class EvaluatorClient(ApiClient):
    """Evaluations and their reports."""

    def evaluate(
        self, model: str, challenger_version: int, *, reason: str, champion_version: int | None = None
    ) -> Json:
        body = {
            "model": model,
            "challenger_version": challenger_version,
            "champion_version": champion_version,
            "reason": reason,
        }
        return _object(self.post("/v1/evaluations", body))

    def evaluation(self, evaluation_id: UUID | str) -> Json:
        """The full report."""
        return _object(self.get(f"/v1/evaluations/{evaluation_id}"))

    def evaluations(self, model: str | None = None, *, limit: int = 100) -> list[Json]:
        """Newest first, at most `limit`; of all models without one."""
        return _items(self.get("/v1/evaluations", model=model, limit=limit))


class DeployerClient(ApiClient):
    """Rollouts, routes and replicas."""

    def start_rollout(
        self,
        model: str,
        version: int,
        *,
        reason: str,
        strategy: Literal["full", "canary"] | None = None,
        correlation_id: UUID | str | None = None,
    ) -> Json:
        """Move traffic to a version; without a strategy by the model's rollout policy."""
        body = {
            "model": model,
            "version": version,
            "action": "start",
            "strategy": strategy,
            "reason": reason,
            "correlation_id": _text(correlation_id),
        }
        return _object(self.post("/v1/rollouts", body))

    def roll_back(self, model: str, *, reason: str, version: int | None = None, wait_s: float = 10.0) -> Json:
        """Back to `version`, or to the one before; returns when all live routers have applied it, with `seconds`."""
        body = {"model": model, "version": version, "action": "roll_back", "reason": reason, "wait_s": wait_s}
        return _object(self.post("/v1/rollouts", body, timeout_s=wait_s + 10.0))

    def abort_rollout(self, model: str, *, reason: str) -> Json:
        """Give up the open rollout; the version before serves everything again."""
        return _object(self.post("/v1/rollouts", {"model": model, "action": "abort", "reason": reason}))

    def rollout(self, rollout_id: UUID | str) -> Json:
        return _object(self.get(f"/v1/rollouts/{rollout_id}"))

    def rollouts(self, model: str | None = None, *, limit: int = 100) -> list[Json]:
        """Newest first, at most `limit`; of all models without one."""
        return _items(self.get("/v1/rollouts", model=model, limit=limit))

    def route(self, route: str) -> Json:
        return _object(self.get(f"/v1/routes/{_part(route)}"))

    def routes(self) -> list[Json]:
        return _items(self.get("/v1/routes"))

    def replicas(self) -> list[Json]:
        return _items(self.get("/v1/replicas"))


class MonitorClient(ApiClient):
    """What the monitor found, and what it stored."""

    def health(self, model: str, *, since: datetime, route: str | None = None) -> list[Json]:
        """Per version and variant: predictions, errors, latencies, labelled, wrong."""
        path = f"/v1/models/{_part(model)}/health"
        return _items(self.get(path, since=since.isoformat(), route=route), "versions")

    def drift(self, model: str, *, limit: int = 50) -> list[Json]:
        """The latest drift events."""
        return _items(self.get(f"/v1/models/{_part(model)}/drift", limit=limit))

    def psi(self, model: str, *, window_s: float | None = None) -> Any:
        return self.get(f"/v1/models/{_part(model)}/psi", window_s=window_s)

    def story(self, correlation_id: UUID | str) -> list[Json]:
        """All events of one story, in order."""
        return _items(self.get(f"/v1/timelines/{correlation_id}"), "events")

    def ingest(self) -> Json:
        """Lag, offsets, rates."""
        return _object(self.get("/v1/ingest"))


def _object(answer: Any) -> Json:
    if not isinstance(answer, dict):
        raise TypeError(f"expected a JSON object, got {type(answer).__name__}")
    return answer


def _items(answer: Any, *names: str) -> list[Json]:
    """The list in an answer: the answer itself, or what is under `items` or one of `names`."""
    if isinstance(answer, list):
        return answer
    found = next((answer[name] for name in ("items", *names) if name in answer), None)
    if found is None:
        found = next((value for value in answer.values() if isinstance(value, list)), [])
    return list(found)
