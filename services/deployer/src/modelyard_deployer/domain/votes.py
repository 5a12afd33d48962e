"""The vote of an adaptive model: its members, their weights, and how the vote did against each of them. Pure."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from modelyard_contracts.policies import AdaptivePolicy, RolloutPolicy
from modelyard_deployer.domain import hedge
from modelyard_deployer.domain.hedge import Batch

MIN_MOVE: Final = 0.005
"""Weights are published when one of them has moved this far."""
DRAW_FLOOR: Final = 0.02
"""Least share of a member when one member per request is drawn: a member that is never drawn has no labels."""
DEADLINE_SHARE: Final = 0.8
"""Share of the time limit after which the vote is closed, so that a member that hangs does not use up all of it."""
KEPT_DEPARTURES: Final = 20
KEPT_SNAPSHOTS: Final = 20


@dataclass(frozen=True)
class Member:
    """A version that votes. Counts are of labelled rows on which it voted."""

    version: int
    since: datetime
    log_weight: float
    weight: float = 0.0
    """As published, in thousandths."""
    entry_rows: float = 0.0
    """Rows that its small weight at the start may cost the vote."""
    slack_at_entry: float = 0.0
    rows: int = 0
    loss: float = 0.0
    vote_loss: float = 0.0
    """Loss of the vote on the same rows."""
    mean_loss: float = 0.0
    """Loss of the weighted mean by the published weights, on the same rows."""
    later_mean_loss: float = 0.0
    """The same by the weights that included all labels before each batch: the difference is the cost of late labels."""
    snapshots: tuple[int, ...] = ()
    """Older snapshots of the same online learner, whose labels may still come; newest last."""
    harm: str = ""
    """Why it must not answer; empty if nothing is known against it."""


@dataclass(frozen=True)
class Departure:
    """A version that no longer votes."""

    version: int
    at: datetime
    reason: str


@dataclass(frozen=True)
class Vote:
    """State of the vote of one model; without members its champion answers alone."""

    model: str
    members: tuple[Member, ...] = ()
    departed: tuple[Departure, ...] = ()
    """Newest last."""
    cursor: str | None = None
    """Position in the monitor's labels; None before the first answer."""
    rate: float = 0.0
    """The learning rate of the policy since the counts began; they begin again when it changes."""
    labels: int = 0
    loss: float = 0.0
    """Of the vote, over all labels."""
    slack: float = 0.0
    """Rows: the sum of `hedge.Update.slack`, and of what the members lost to newcomers."""
    drawn: bool = False
    """Some labels were of draws: what the other members would have lost is an estimate, so there is no bound."""
    lead_only: str = ""
    """Why the lead answers alone; empty while the members vote."""
    problem: str = ""
    """Why the weights do not follow the labels; empty while they do."""
    updated_at: datetime | None = None
    writes: int = 0
    """Number of saves, for optimistic locking."""

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(member.version for member in self.members)

    @property
    def log_weights(self) -> dict[int, float]:
        return {member.version: member.log_weight for member in self.members}

    def member(self, version: int) -> Member | None:
        return next((member for member in self.members if member.version == version), None)


@dataclass(frozen=True)
class LabelPage:
    """Labels after a position, in groups of the same members."""

    cursor: str
    batches: tuple[Batch, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class Ballot:
    """The members that are asked, the lead first, and their weights: in thousandths, with a sum of 1."""

    answer: Literal["vote", "draw"]
    combiner: Literal["soft", "hard", "mean"]
    deadline_ms: int
    """Members that answer later do not vote."""
    weights: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Regret:
    """The vote against one member, on the rows on which that member voted. Negative rows: the vote was better."""

    version: int
    rows: int
    lost_rows: float
    """What the vote lost more than the member."""
    mean_lost_rows: float
    """What a draw by the published weights would have lost more, on average."""
    bound_rows: float | None
    """`mean_lost_rows` cannot be larger; None where labels of draws were estimated."""


def join(vote: Vote, version: int, at: datetime, policy: AdaptivePolicy, *, leads: bool = False) -> Vote:
    """Add a member `entry_nats` below the leader, or above it if it `leads`. A member stays as it is."""
    if version in vote.versions:
        return vote
    vote = _with_rate(vote, policy.learning_rate)
    nats = -policy.entry_nats if leads else policy.entry_nats
    weights = hedge.enter(vote.log_weights, version, nats)
    diluted = -math.log1p(-math.exp(weights[version])) if vote.members else 0.0
    slack = vote.slack + diluted / vote.rate
    new = Member(version, at, weights[version], entry_rows=-weights[version] / vote.rate, slack_at_entry=slack)
    return _released(_weighted(replace(vote, members=(*vote.members, new), slack=slack), weights))


def leave(vote: Vote, version: int, at: datetime, reason: str) -> Vote:
    """Remove a member and record why; a version that is no member changes nothing."""
    if version not in vote.versions:
        return vote
    weights = hedge.leave(vote.log_weights, version)
    members = tuple(member for member in vote.members if member.version != version)
    departed = (*vote.departed, Departure(version, at, reason))[-KEPT_DEPARTURES:]
    return _released(_weighted(replace(vote, members=members, departed=departed), weights))


def take_place(vote: Vote, old: int, new: int) -> Vote:
    """A newer snapshot of an online learner votes instead of an older one, with the same weight and counts."""
    if old not in vote.versions or new in vote.versions:
        return vote

    def newer(member: Member) -> Member:
        snapshots = tuple(one for one in (*member.snapshots, old) if one != new)[-KEPT_SNAPSHOTS:]
        return replace(member, version=new, snapshots=snapshots) if member.version == old else member

    return replace(vote, members=tuple(newer(member) for member in vote.members))


def follow(vote: Vote, batches: Iterable[Batch], policy: AdaptivePolicy, at: datetime) -> Vote:
    """Move the weights by batches of labels; they are published once one of them has moved by MIN_MOVE."""
    vote = _with_rate(vote, policy.learning_rate)
    for batch in batches:
        vote = _follow(vote, batch, policy)
    vote = replace(vote, updated_at=at)
    shares = hedge.published(vote.log_weights)
    moved = max((abs(shares[member.version] - member.weight) for member in vote.members), default=0.0)
    return _released(vote) if moved >= MIN_MOVE - 1e-9 else vote


def ballot(
    vote: Vote, lead: int, ready: Callable[[int], bool], policy: RolloutPolicy, *, classifies: bool
) -> Ballot | None:
    """Members that are asked now; None when the lead answers alone. ready: whether a version has a ready replica."""
    asked = {member.version: member.weight for member in vote.members if ready(member.version) and not member.harm}
    if vote.lead_only or not asked or lead not in vote.versions or asked.keys() == {lead}:
        return None
    adaptive = policy.adaptive
    floor = DRAW_FLOOR if adaptive.answer == "draw" else 1 / hedge.STEPS
    weights = hedge.published({one: math.log(max(weight, 1e-6)) for one, weight in asked.items()}, floor)
    order = sorted(weights, key=lambda one: (one != lead, -weights[one], one))
    combiner = adaptive.combiner if classifies else "mean"
    deadline_ms = max(1, round(DEADLINE_SHARE * policy.timeout_ms))
    return Ballot(adaptive.answer, combiner, deadline_ms, {one: weights[one] for one in order})


def regret(vote: Vote) -> Regret | None:
    """The vote against the member that did best in comparison; None before the first label."""
    found = [_regret(vote, member) for member in vote.members if member.rows]
    return max(found, key=lambda one: one.lost_rows, default=None)


def _regret(vote: Vote, member: Member) -> Regret:
    late = member.mean_loss - member.later_mean_loss
    slack = vote.slack - member.slack_at_entry
    return Regret(
        version=member.version,
        rows=member.rows,
        lost_rows=member.vote_loss - member.loss,
        mean_lost_rows=member.mean_loss - member.loss,
        bound_rows=None if vote.drawn else member.entry_rows + slack + late,
    )


def _follow(vote: Vote, batch: Batch, policy: AdaptivePolicy) -> Vote:
    present = {old: member.version for member in vote.members for old in member.snapshots}
    batch = replace(batch, losses={present.get(version, version): loss for version, loss in batch.losses.items()})
    after = hedge.update(vote.log_weights, batch, policy.learning_rate, policy.share)
    mean = after.mean_loss if batch.mean_loss is None else batch.mean_loss
    members = tuple(_counted(member, batch, mean, after.mean_loss) for member in vote.members)
    counted = replace(
        vote,
        members=members,
        labels=vote.labels + batch.rows,
        loss=vote.loss + batch.vote_loss,
        slack=vote.slack + after.slack,
        drawn=vote.drawn or batch.drawn,
    )
    return _weighted(counted, after.log_weights)


def _with_rate(vote: Vote, rate: float) -> Vote:
    """Begin the counts again when the learning rate has changed: the bound holds for one rate."""
    if vote.rate == rate:
        return vote
    members = tuple(
        Member(one.version, one.since, one.log_weight, one.weight, entry_rows=-one.log_weight / rate, harm=one.harm)
        for one in vote.members
    )
    return replace(vote, members=members, rate=rate, labels=0, loss=0.0, slack=0.0, drawn=False)


def _counted(member: Member, batch: Batch, mean: float, later_mean: float) -> Member:
    if member.version not in batch.losses:
        return member
    return replace(
        member,
        rows=member.rows + batch.rows,
        loss=member.loss + batch.losses[member.version],
        vote_loss=member.vote_loss + batch.vote_loss,
        mean_loss=member.mean_loss + mean,
        later_mean_loss=member.later_mean_loss + later_mean,
    )


def _weighted(vote: Vote, log_weights: dict[int, float]) -> Vote:
    return replace(
        vote, members=tuple(replace(member, log_weight=log_weights[member.version]) for member in vote.members)
    )


def _released(vote: Vote) -> Vote:
    """Publish the present weights."""
    shares = hedge.published(vote.log_weights)
    return replace(vote, members=tuple(replace(member, weight=shares[member.version]) for member in vote.members))
