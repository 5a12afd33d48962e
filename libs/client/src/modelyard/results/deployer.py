"""Results of the deployer."""

from datetime import datetime
from typing import Any

from pydantic import Field

from modelyard.results.base import Result
from modelyard_contracts import RolloutState


class NextStep(Result):
    """What a rollout does next, and what it waits for."""

    kind: str
    """`begin`, `replicas`, `routers`, `advance`, `promote`, `finish`, `abort` or `nothing`."""
    step: int = 0
    steps: int = 0
    from_percent: float = 0.0
    to_percent: float | None = None
    predictions_needed: int = 0
    predictions_seen: int = 0
    predictions_left: int = 0
    seconds_left: float = 0.0
    """Until the step's minimum time has passed."""
    hold_expires_in_s: float | None = None
    """Until the policy ends the wait; None where it does not."""
    on_hold_expired: str | None = None
    held: bool = False
    """A person holds the step."""
    blocked_by: tuple[str, ...] = ()
    """Guardrails that are worse, but possibly by chance."""


class GuardrailReading(Result):
    """The new version against the stable one, over all steps."""

    name: str
    description: str = ""
    rows: int = 0
    """Rows of the smaller arm."""
    new: float | None = None
    old: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    """Interval of the difference that holds over all checks."""
    margin: float
    verdict: str
    """`passed`, `worse` (the step holds), `harmful` (the rollout aborts) or `too_few_rows`."""


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
    step: int = 0
    """Number of the step that is published; 0 before the first one."""
    steps_percent: tuple[float, ...] = ()
    """Share of the traffic at each step; the last one is 100."""
    reason: str = ""
    held_reason: str = ""
    """Who holds the step, and why; empty when no person does."""
    next: NextStep | None = None
    guardrails: tuple[GuardrailReading, ...] = ()
    abort_reason: str | None = None
    """Why a person or an alert asked to abort it."""
    requested_by: str = ""
    route: str = ""
    revision: int = 0
    superseded_by: int | None = None
    """The version that took the place of an aborted rollout's version."""
    seconds: float | None = None
    """How long a rollback took until every live router had applied it."""
    evidence: dict[str, Any] = Field(default_factory=dict)
    correlation_id: str = ""
    created_at: datetime | None = None
    changed_at: datetime | None = None

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


class RouterAck(Result):
    """The newest acknowledgement of a route by one router."""

    router_id: str
    sequence: int = 0
    accepted: bool = True
    reason: str = ""
    """Why it was refused."""
    seen_at: datetime | None = None


class PublishedRoute(Result):
    """A route as the deployer published it."""

    route: str
    model: str = ""
    own: bool = False
    """True for the route that was created with the model's first rollout."""
    sequence: int = 0
    spec: dict[str, Any] = Field(default_factory=dict)
    """The specification as a person wrote it."""
    plan: dict[str, Any] | None = None
    """What routers execute; None when no version may serve."""
    problem: str = ""
    """Why the specification cannot be published yet; empty when it is."""
    champion_version: int | None = None
    previous_version: int | None = None
    published_at: datetime | None = None
    routers: tuple[RouterAck, ...] = ()
    """Routers that acknowledged it, each with the sequence that it applied."""


class ReplicaInfo(Result):
    """A model server of a version."""

    model: str
    version: int
    state: str
    url: str | None = None
    failures: int = 0
