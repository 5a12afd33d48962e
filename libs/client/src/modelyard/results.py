"""Answers of the trainer, the evaluator, the deployer, the router and the monitor, as frozen values.

Fields of a newer release are kept, too: `model_dump` returns the answer as the service sent it.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelyard_contracts import RolloutState, RunState, Verdict


class Result(BaseModel):
    """Base of the answers."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, protected_namespaces=())


class TrainingRun(Result):
    """A training run."""

    run_id: str
    model: str
    state: RunState
    correlation_id: str
    recipe: str = ""
    trigger: str = "request"
    """`request`, or the kind of drift."""
    reason: str = ""
    """Explains the state."""
    progress: float = 0.0
    version: int | None = None
    """The version that it registered."""
    dataset_digest: str | None = None
    metrics: dict[str, float] = {}
    cost_usd: float = 0.0
    created_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.state in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.REFUSED}


class EvaluationRun(Result):
    """An evaluation; `verdict` and `report` are None until it has ended."""

    evaluation_id: str
    model: str
    challenger_version: int
    verdict: Verdict | None = None
    stage: str = ""
    reason: str = ""
    correlation_id: str = ""
    report: dict[str, Any] | None = None
    created_at: datetime | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences that explain the verdict."""
        return tuple((self.report or {}).get("reasons") or ())


class RolloutRun(Result):
    """A rollout, or a rollback."""

    rollout_id: str
    model: str
    action: str
    state: RolloutState
    strategy: str | None = None
    from_version: int | None = None
    to_version: int | None = None
    weight_percent: float = 0.0
    """Share of the traffic that `to_version` gets now."""
    reason: str = ""
    superseded_by: int | None = None
    """The version that took the place of an aborted rollout's version."""
    seconds: float | None = None
    """How long a rollback took until every live router had applied it."""
    evidence: dict[str, Any] = {}
    correlation_id: str = ""
    created_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.state.final


class PublishedRoute(Result):
    """A route as the deployer published it."""

    route: str
    model: str = ""
    sequence: int = 0
    champion_version: int | None = None
    published_at: datetime | None = None
    routers: tuple[dict[str, Any], ...] = ()
    """Routers that acknowledged it, each with the sequence that it applied."""


class LoadedRoute(Result):
    """A route as one router executes it."""

    route: str
    sequence: int = 0


class ReplicaInfo(Result):
    """A model server of a version."""

    model: str
    version: int
    state: str
    url: str | None = None
    failures: int = 0


class RecordedEvent(Result):
    """An event as the monitor stored it."""

    event_id: str
    type: str = ""
    occurred_at: datetime | str
    correlation_id: str
    payload: dict[str, Any] = {}


class VersionHealth(Result):
    """Requests, latencies and labels of one version and variant."""

    version: int
    variant: str = ""
    predictions: int = 0
    errors: int = 0
    labelled: int = 0
    wrong: int = 0


class FeedbackReceipt(Result):
    """How many labels were accepted; the call returns when they are stored durably."""

    accepted: int = 0
