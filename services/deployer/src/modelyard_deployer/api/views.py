"""Responses of the API."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from modelyard_contracts import RolloutState, RolloutStrategy
from modelyard_contracts.documents import read
from modelyard_contracts.routes import RoutePlan, RouteSpec
from modelyard_deployer.domain.guardrails import Reading, Verdict, readings
from modelyard_deployer.domain.next_step import Next, next_step
from modelyard_deployer.domain.ports import Records
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Route, RouterAck
from modelyard_deployer.domain.workloads import Instance
from modelyard_runtime.policy_time import PolicyTime


class NextStepView(BaseModel):
    """What a rollout does next, and what it waits for."""

    model_config = ConfigDict(from_attributes=True)

    kind: Next
    """`begin`: its turn. `replicas`, `routers`: waits for them. `advance`: the next step; `promote`: all traffic.
    `finish`: all traffic is published. `abort`: requested. `nothing`: it has ended."""
    step: int
    steps: int
    from_percent: float
    to_percent: float | None
    predictions_needed: int
    """Of the new version at this step, by the policy."""
    predictions_seen: int
    predictions_left: int
    seconds_left: float
    """Until the step's minimum time has passed."""
    hold_expires_in_s: float | None
    """Until `on_hold_expired` is applied; null while a person holds the step."""
    on_hold_expired: str | None
    held: bool
    """A person holds the step."""
    blocked_by: list[str]
    """Guardrails that are worse, but possibly by chance."""


class GuardrailView(BaseModel):
    """A guardrail at the newest check: the new version against the stable one, over all steps."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    description: str
    rows: int
    """Rows of the smaller arm."""
    new: float | None
    old: float | None
    difference: float | None
    """New minus old, compared step by step; null with too few rows."""
    low: float | None
    high: float | None
    """Interval of the difference that holds over all checks."""
    margin: float
    """The difference may not exceed this."""
    verdict: Verdict

    @classmethod
    def of(cls, reading: Reading) -> Self:
        view = cls.model_validate(reading)
        return view if reading.low is not None else view.model_copy(update={"difference": None})


class RolloutView(BaseModel):
    """A rollout."""

    rollout_id: UUID
    model: str
    route: str
    action: Kind
    state: RolloutState
    strategy: RolloutStrategy
    from_version: int | None
    to_version: int
    step: int
    steps_percent: list[float]
    weight_percent: float
    reason: str
    abort_reason: str | None
    superseded_by: int | None
    """The version that took the place of an aborted rollout's version."""
    held_reason: str
    """Who holds the step, and why; empty when it is not held."""
    evaluation_id: UUID | None
    """The open evaluation of a version that holds a live share until it ends; null for an approved version."""
    next: NextStepView
    guardrails: list[GuardrailView]
    evidence: dict[str, float]
    seconds: float | None
    """Duration of a finished roll-back, from the request to the last router acknowledgement."""
    revision: int
    requested_by: str
    correlation_id: UUID
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, rollout: Rollout, now: datetime, policy_time: PolicyTime) -> Self:
        """now, policy_time: for the times left of `next`."""
        seconds = rollout.evidence.get("seconds") if rollout.state is RolloutState.ROLLED_BACK else None
        return cls(
            rollout_id=rollout.id,
            model=rollout.model,
            route=rollout.route,
            action=rollout.kind,
            state=rollout.state,
            strategy=rollout.strategy,
            from_version=rollout.from_version,
            to_version=rollout.to_version,
            step=rollout.step,
            steps_percent=list(rollout.plan),
            weight_percent=rollout.weight_percent,
            reason=rollout.reason,
            abort_reason=rollout.abort_reason,
            superseded_by=rollout.superseded_by,
            held_reason=rollout.held_reason,
            evaluation_id=rollout.evaluation_id,
            next=NextStepView.model_validate(next_step(rollout, now, policy_time)),
            guardrails=[GuardrailView.of(reading) for reading in readings(rollout.evidence)],
            evidence=dict(rollout.evidence),
            seconds=seconds,
            revision=rollout.revision,
            requested_by=rollout.requested_by,
            correlation_id=rollout.correlation_id,
            created_at=rollout.created_at,
            changed_at=rollout.changed_at,
        )


class RolloutList(BaseModel):
    """Rollouts, newest first."""

    items: list[RolloutView]


class RouterView(BaseModel):
    """Newest acknowledgement of a route by a router."""

    router_id: str
    sequence: int
    accepted: bool
    reason: str
    seen_at: datetime

    @classmethod
    def of(cls, ack: RouterAck) -> Self:
        return cls(
            router_id=ack.router_id,
            sequence=ack.sequence,
            accepted=ack.accepted,
            reason=ack.reason,
            seen_at=ack.seen_at,
        )


class RouteView(BaseModel):
    """A route: its specification, the published plan, and the serving state of its model."""

    route: str
    model: str
    own: bool
    """True for the route that was created with the model's first rollout."""
    sequence: int
    spec: RouteSpec
    plan: RoutePlan | None
    """As last published; null when no version may serve."""
    problem: str
    """Why the specification cannot be published yet; empty when it is."""
    champion_version: int | None
    previous_version: int | None
    warm_until: datetime | None
    published_at: datetime | None
    routers: list[RouterView]

    @classmethod
    def of(cls, records: Records, route: Route) -> Self:
        published, serving = records.routes.published(route.name), records.serving.get(route.model)
        return cls(
            route=route.name,
            model=route.model,
            own=route.own,
            sequence=route.sequence,
            spec=route.specification,
            plan=read(RoutePlan, route.plan) if route.plan else None,
            problem=route.problem,
            champion_version=serving.champion if serving else None,
            previous_version=serving.previous if serving else None,
            warm_until=serving.warm_until if serving else None,
            published_at=published.occurred_at if published else None,
            routers=[RouterView.of(ack) for ack in records.acknowledgements.of_route(route.name)],
        )


class RouteList(BaseModel):
    """Routes by name."""

    items: list[RouteView]


class AppliedView(BaseModel):
    """Acknowledgements of the newest table of a route."""

    route: str
    sequence: int
    applied: list[str]
    """Routers that accepted it."""
    pending: list[str]
    """Routers that have not acknowledged it."""
    refused: dict[str, str]
    """Router to its reason."""

    @classmethod
    def of(cls, route: Route, acks: tuple[RouterAck, ...]) -> Self:
        done = [ack for ack in acks if ack.sequence >= route.sequence]
        return cls(
            route=route.name,
            sequence=route.sequence,
            applied=[ack.router_id for ack in done if ack.accepted],
            pending=[ack.router_id for ack in acks if ack.sequence < route.sequence],
            refused={ack.router_id: ack.reason for ack in done if not ack.accepted},
        )


class ReplicaView(BaseModel):
    """A replica of a version."""

    id: str
    model: str
    version: int
    state: Literal["waiting", "starting", "ready", "unresponsive", "draining"]
    url: str | None
    since: datetime | None
    failures: int
    last_failure: str

    @classmethod
    def of(cls, instance: Instance) -> Self:
        fields: dict[str, Any] = {name: getattr(instance, name) for name in cls.model_fields}
        return cls(**fields)


class ReplicaList(BaseModel):
    """Replicas by model and version."""

    items: list[ReplicaView]
