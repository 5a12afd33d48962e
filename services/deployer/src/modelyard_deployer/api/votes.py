"""`/v1/models/{model}/votes`: members of an adaptive model, their weights, and the vote against its best member."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import Depends, FastAPI, Path
from pydantic import BaseModel, Field

from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.domain.routes import Serving
from modelyard_deployer.domain.votes import Departure, Member, Regret, Vote, regret
from modelyard_runtime.errors import NotFound
from modelyard_runtime.http import allow

ModelName = Annotated[str, Path(pattern=REFERENCE_PATTERN, description="`name` or `workspace:name`")]


class MemberView(BaseModel):
    """A version that votes."""

    version: int
    lead: bool
    """Whether it is the champion: records carry its number."""
    weight: float
    """As published; all add up to 1."""
    since: datetime
    labels: int
    """Labelled rows on which it voted."""
    loss: float | None = Field(description="Mean loss on them, from 0 to 1: the share of wrong classes, or the error.")
    vote_loss: float | None = Field(description="Mean loss of the vote on the same rows.")
    harm: str
    """Why it must not answer; empty if nothing is known against it."""

    @classmethod
    def of(cls, member: Member, champion: int | None) -> Self:
        return cls(
            version=member.version,
            lead=member.version == champion,
            weight=member.weight,
            since=member.since,
            labels=member.rows,
            loss=member.loss / member.rows if member.rows else None,
            vote_loss=member.vote_loss / member.rows if member.rows else None,
            harm=member.harm,
        )


class DepartureView(BaseModel):
    """A version that left the vote."""

    version: int
    at: datetime
    reason: str

    @classmethod
    def of(cls, departure: Departure) -> Self:
        return cls(version=departure.version, at=departure.at, reason=departure.reason)


class RegretView(BaseModel):
    """The vote against the member that did best in comparison, on the rows on which that member voted.

    Rows are rows of loss 1. Negative numbers: the vote was better.
    """

    version: int
    labels: int
    lost_rows: float
    mean_lost_rows: float = Field(description="What one member, drawn by the weights, would have lost more on average.")
    bound_rows: float | None = Field(description="`mean_lost_rows` cannot be larger; null with `answer: draw`.")

    @classmethod
    def of(cls, found: Regret) -> Self:
        return cls(
            version=found.version,
            labels=found.rows,
            lost_rows=round(found.lost_rows, 3),
            mean_lost_rows=round(found.mean_lost_rows, 3),
            bound_rows=None if found.bound_rows is None else round(found.bound_rows, 3),
        )


class VotesView(BaseModel):
    """The vote of a model; `members` is empty while one version answers alone."""

    model: str
    strategy: Literal["full", "canary", "adaptive"]
    answer: Literal["vote", "draw"]
    members: list[MemberView]
    """The lead first, then by weight."""
    departed: list[DepartureView]
    """The latest versions that left, newest last."""
    labels: int
    """Labels that moved the weights since the model became adaptive, or since its learning rate changed."""
    loss: float | None
    """Mean loss of the vote on them."""
    against_best: RegretView | None
    problem: str
    """Why the weights do not follow the labels, or why the lead answers alone; empty otherwise."""
    updated_at: datetime | None
    """When labels last moved the weights."""

    @classmethod
    def of(cls, serving: Serving, vote: Vote) -> Self:
        ordered = sorted(vote.members, key=lambda one: (one.version != serving.champion, -one.weight, one.version))
        against = regret(vote)
        return cls(
            model=vote.model,
            strategy=serving.policy.strategy,
            answer=serving.policy.adaptive.answer,
            members=[MemberView.of(member, serving.champion) for member in ordered],
            departed=[DepartureView.of(one) for one in vote.departed],
            labels=vote.labels,
            loss=vote.loss / vote.labels if vote.labels else None,
            against_best=RegretView.of(against) if against else None,
            problem=vote.lead_only or vote.problem,
            updated_at=vote.updated_at,
        )


def add_votes(app: FastAPI, deps: Deps) -> None:
    @app.get("/v1/models/{model}/votes", dependencies=[Depends(allow("read", "route"))], tags=["votes"])
    def votes(model: ModelName) -> VotesView:
        """Return the members of an adaptive model, their weights, and the vote against its best member."""
        with deps.store.read() as records:
            serving, vote = records.serving.get(model), records.votes.get(model)
        if serving is None:
            raise NotFound(f"no version of {model} has been rolled out yet; start a rollout first")
        return VotesView.of(serving, vote or Vote(model))
