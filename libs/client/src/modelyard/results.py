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


class OnlineLearner(Result):
    """A model that learns from each label as it arrives, and publishes snapshots as versions."""

    model: str
    learner: str
    state: str
    """`running`, `waiting` or `stopped`."""
    reason: str = ""
    learned_rows: int = 0
    left_out_rows: int = 0
    lag_s: float | None = None
    """Age of the newest label of the last batch; 0 if no label is waiting."""
    memory_mib: float = 0.0
    publish_every_rows: int = 0
    version: int | None = None
    """Newest published snapshot."""
    published_rows: int = 0
    published_at: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None


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


class VotingMember(Result):
    """A version that votes for an adaptive model."""

    version: int
    lead: bool = False
    """Whether it is the champion: records carry its number."""
    weight: float = 0.0
    since: datetime | None = None
    labels: int = 0
    """Labelled rows on which it voted."""
    loss: float | None = None
    """Mean loss on them, from 0 to 1."""
    vote_loss: float | None = None
    """Mean loss of the vote on the same rows."""
    harm: str = ""


class Regret(Result):
    """The vote against its best member, in rows of loss 1; negative numbers: the vote was better."""

    version: int
    labels: int
    lost_rows: float
    mean_lost_rows: float
    """What one member, drawn by the weights, would have lost more on average."""
    bound_rows: float | None = None
    """`mean_lost_rows` cannot be larger."""


class Votes(Result):
    """The vote of an adaptive model; without members one version answers alone."""

    model: str
    strategy: str = ""
    answer: str = "vote"
    members: tuple[VotingMember, ...] = ()
    departed: tuple[dict[str, Any], ...] = ()
    """Versions that left, with time and reason, newest last."""
    labels: int = 0
    loss: float | None = None
    against_best: Regret | None = None
    problem: str = ""
    """Why the weights do not follow the labels, or why the lead answers alone."""
    updated_at: datetime | None = None


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
