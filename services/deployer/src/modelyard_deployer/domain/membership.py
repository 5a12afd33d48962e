"""Which versions of an adaptive model vote: they join by a rollout, and leave by one of several causes. Pure.

Computed again in every round from the same facts, so nothing is lost or done twice when the deployer is killed.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from modelyard_contracts import RolloutChanged, VersionStage
from modelyard_contracts import RolloutState as State
from modelyard_contracts.manifest import learner_of
from modelyard_contracts.routes import MAX_MEMBERS
from modelyard_contracts.signature import Signature
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Serving, Version
from modelyard_deployer.domain.votes import Member, Vote, join, leave, take_place

WITHDRAWN: Final = frozenset({VersionStage.REJECTED, VersionStage.RETIRED})
"""Stages of versions that may not serve."""
MAX_DIFFERENCES: Final = 5
"""Columns that a reason names."""
BROKEN: Final = frozenset({State.ABORTED, State.FAILED})


@dataclass(frozen=True)
class Facts:
    """What decides about the members of one model, after this round's decision about its rollout."""

    now: datetime
    serving: Serving
    adaptive: bool
    """Whether the policy is adaptive and the champion's kind of answer can be combined."""
    rollout: Rollout | None = None
    """The rollout of this round, also when it has just ended."""
    known: frozenset[int] = frozenset()
    """Versions whose manifest is stored here."""
    causes: Mapping[int, str] = field(default_factory=dict)
    """Versions that must not vote, each with the reason."""

    @property
    def joining(self) -> int | None:
        """The version that an active rollout brings into the vote."""
        active = self.rollout if self.rollout and self.rollout.active and self.rollout.adaptive else None
        return active.to_version if active and active.step > 0 else None


def can_vote(version: Version) -> bool:
    """Whether answers of a version can be combined with others."""
    return version.file.manifest.signature.output.task.labelled


def same_learner(version: Version, members: Iterable[Version]) -> int | None:
    """The member that is an older snapshot of the online learner that `version` is a snapshot of."""
    learner = learner_of(version.file.manifest)
    older = (
        one.version
        for one in members
        if learner and learner_of(one.file.manifest) == learner and one.version < version.version
    )
    return max(older, default=None)


def why_not(version: Version, champion: Version | None, failure: str = "") -> str:
    """Why a version must not vote beside the champion; empty if it may. failure: why its replicas keep exiting."""
    if version.stage in WITHDRAWN:
        return f"{version.stage} in the registry"
    if failure:
        return f"replicas keep exiting: {failure}"
    if champion is None:
        return ""
    mine, theirs = version.file.manifest.signature.output, champion.file.manifest.signature.output
    if (mine.task, mine.classes) != (theirs.task, theirs.classes):
        return f"its answers cannot be combined with those of version {champion.version}: other task or classes"
    found = _other_inputs(version.file.manifest.signature, champion.file.manifest.signature)
    return f"it cannot answer the requests of version {champion.version}: {found}" if found else ""


def _other_inputs(mine: Signature, theirs: Signature) -> str:
    """How the inputs of a signature differ from those that callers send to another one; '' if both take the same.

    All members get one request, and each refuses a missing, an unknown and a null column that it does not allow. The
    order of the columns does not matter.
    """
    own, sent = ({column.name: column for column in one.columns} for one in (mine, theirs))
    found = [f"it needs {_listed(own.keys() - sent.keys())}"] if own.keys() - sent.keys() else []
    found += [f"it does not take {_listed(sent.keys() - own.keys())}"] if sent.keys() - own.keys() else []
    both = [(own[name], sent[name]) for name in sorted(own.keys() & sent.keys())]
    found += [f"{a.name} is {a.type.value}, not {b.type.value}" for a, b in both if a.type is not b.type]
    found += [f"{a.name} must not be null" for a, b in both if b.nullable and not a.nullable]
    if mine.input != theirs.input:
        found.append(f"it takes {mine.input}, not {theirs.input}")
    return "; ".join(found[:MAX_DIFFERENCES])


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - MAX_DIFFERENCES} more" if len(shown) > MAX_DIFFERENCES else ""
    return ", ".join(shown[:MAX_DIFFERENCES]) + more


def settle(vote: Vote, facts: Facts) -> Vote:
    """Return the vote with the members that the facts require."""
    if facts.serving.champion is None or not _votes(vote, facts):
        return Vote(vote.model, departed=vote.departed, writes=vote.writes) if vote.members else vote
    vote = _with_lead(vote, facts) if facts.adaptive else vote
    vote = _with_rollout(vote, facts)
    vote = _without_harmful(vote, facts)
    return _at_most(vote, facts)


def heaviest(vote: Vote) -> int | None:
    """The member with the largest weight that may answer; the older one of equals."""
    able = [member for member in vote.members if not member.harm]
    return max(able, key=lambda one: (one.log_weight, -one.version)).version if able else None


def lead(serving: Serving | None, active: Rollout | None) -> int | None:
    """The version that leads: the champion, or the version that a published rollout of the vote puts in its place."""
    champion = serving.champion if serving else None
    if active is None or not active.adaptive or active.state is not State.SHIFTING:
        return champion
    takes_lead = active.kind is Kind.ROLL_BACK or (active.replaces is not None and active.replaces == champion)
    return active.to_version if takes_lead else champion


def harm_of_champion(vote: Vote | None, serving: Serving | None) -> str:
    """Why the champion must not answer although another member may; empty if there is no such reason."""
    if vote is None or serving is None or serving.champion is None or heaviest(vote) is None:
        return ""
    member = vote.member(serving.champion)
    return member.harm if member else ""


def _votes(vote: Vote, facts: Facts) -> bool:
    """A model that is no longer adaptive votes on until the best member is its champion."""
    if facts.adaptive or facts.joining is not None:
        return True
    return len(vote.members) > 1 and heaviest(vote) not in (None, facts.serving.champion)


def _with_lead(vote: Vote, facts: Facts) -> Vote:
    """The lead is a member. The first time, versions that served before it join with it."""
    serving, policy = facts.serving, facts.serving.policy.adaptive
    leading = lead(serving, facts.rollout)
    if leading is None or leading in vote.versions:
        return vote
    begins = not vote.members
    vote = join(vote, leading, facts.now, policy, leads=leading == serving.champion)
    if begins:
        usable = [number for number in serving.history if number in facts.known and number not in facts.causes]
        first = [number for number in usable[:1] if policy.keep_first]
        newest = [number for number in usable[::-1] if number not in first]
        for number in (*first, *newest)[: policy.members - 1]:
            vote = join(vote, number, facts.now, policy)
    return vote


def _with_rollout(vote: Vote, facts: Facts) -> Vote:
    """Join with the first step of a rollout; leave when it is aborted, unless the version was a member before."""
    rollout, serving = facts.rollout, facts.serving
    if rollout is None or not rollout.adaptive or rollout.step == 0:
        return vote
    if rollout.state in BROKEN and rollout.kind is Kind.START and rollout.to_version != serving.champion:
        if rollout.replaces is not None:
            return take_place(vote, rollout.to_version, rollout.replaces)
        against = rollout.evidence.get(RolloutChanged.AGAINST_VERSION) == 1.0
        stays = rollout.to_version in serving.history and not against
        return vote if stays else leave(vote, rollout.to_version, facts.now, rollout.reason)
    if not rollout.active:
        return vote
    if rollout.replaces is not None:
        vote = take_place(vote, rollout.replaces, rollout.to_version)
    vote = join(vote, rollout.to_version, facts.now, serving.policy.adaptive)
    return _rolled_back(vote, rollout, facts) if rollout.kind is Kind.ROLL_BACK else vote


def _rolled_back(vote: Vote, rollout: Rollout, facts: Facts) -> Vote:
    """Versions that were promoted after the one that a roll-back returns to leave; those that never led stay."""
    history, champion, target = facts.serving.history, facts.serving.champion, rollout.to_version
    newer = history[history.index(target) + 1 :] if target in history else history
    for number in vote.versions:
        if number in (champion, *newer) and number != target:
            vote = leave(vote, number, facts.now, f"rolled back to version {target}: {rollout.asked_reason}")
    return vote


def _without_harmful(vote: Vote, facts: Facts) -> Vote:
    """Members that must not answer leave at once. The lead is only marked: a roll-back follows, with its event."""
    leading = lead(facts.serving, facts.rollout)
    for member in vote.members:
        cause = member.harm or facts.causes.get(member.version, "")
        if cause and member.version != leading:
            vote = leave(vote, member.version, facts.now, cause)
        elif cause != member.harm:
            marked = replace(member, harm=cause)
            vote = replace(vote, members=tuple(marked if one == member else one for one in vote.members))
    return vote


def _at_most(vote: Vote, facts: Facts) -> Vote:
    """The members of least weight leave; not the lead, a newcomer, or the first version if the policy keeps it.

    A newcomer is counted once its rollout has ended, so that an aborted one costs no member its place.
    """
    limit = min(facts.serving.policy.adaptive.members + (facts.joining is not None), MAX_MEMBERS)
    while len(vote.members) > limit:
        least = min(_may_leave(vote, facts), key=lambda member: (member.log_weight, member.version))
        reason = f"{limit} members at most; it had the least weight, {math.exp(least.log_weight):.3f}"
        vote = leave(vote, least.version, facts.now, reason)
    return vote


def _may_leave(vote: Vote, facts: Facts) -> list[Member]:
    stays = {lead(facts.serving, facts.rollout), facts.joining}
    first = min(vote.versions) if facts.serving.policy.adaptive.keep_first else None
    able = [member for member in vote.members if member.version not in stays]
    return [member for member in able if member.version != first] or able
