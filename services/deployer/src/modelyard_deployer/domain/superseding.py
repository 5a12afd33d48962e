"""Which of two versions is better, and which waiting rollout takes the place of the active one. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from modelyard_contracts import Verdict
from modelyard_deployer.domain.rollouts import Kind, Rollout

DEPLOYER: Final = "deployer"
"""Requester of another turn for a superseded version."""
PLATFORM: Final = frozenset({"registry", "evaluator", DEPLOYER})
"""Requesters of rollouts that may be superseded; what a person started is not ended by the platform."""


class Pair(NamedTuple):
    """Two versions of one model, as the evaluator compared them."""

    challenger: int
    other: int


@dataclass(frozen=True)
class Comparison:
    """The challenger of a pair by the gate's rules, with the other version in the champion's place."""

    verdict: Verdict
    difference: float
    low: float
    high: float
    evaluated_at: datetime


Comparisons = Mapping[Pair, Comparison]


def better_of(comparisons: Comparisons, one: int, two: int) -> int | None:
    """The version that the newest comparison of the two found better; None when none did."""
    found = [
        (comparison.evaluated_at, pair, comparison.verdict)
        for pair in (Pair(one, two), Pair(two, one))
        if (comparison := comparisons.get(pair)) is not None
    ]
    if not found:
        return None
    _, pair, verdict = max(found)
    return {Verdict.DEPLOY: pair.challenger, Verdict.REJECT: pair.other}.get(verdict)


def successor(active: Rollout, waiting: Iterable[Rollout], comparisons: Comparisons) -> Rollout | None:
    """The waiting rollout that should take the place of the active one; None while there is none.

    Its version must be newer, and better on the same rows. A rollout at its last step is about to end, and a person's
    rollout ends by its own rules.
    """
    if active.policy.supersede == "wait" or active.kind is not Kind.START or active.requested_by not in PLATFORM:
        return None
    if active.adaptive:  # it joins a vote within seconds, and its successor joins after it
        return None
    if active.abort_reason is not None or active.at_last_step or active.live_share:
        return None
    newer = (rollout for rollout in waiting if may_begin(rollout) and rollout.to_version > active.to_version)
    return next(
        (one for one in newer if better_of(comparisons, one.to_version, active.to_version) == one.to_version), None
    )


def outclassed(rollout: Rollout, champion: int | None, comparisons: Comparisons) -> bool:
    """Whether what serves now is better than the version of a waiting rollout that the platform requested."""
    if champion is None or rollout.kind is not Kind.START or rollout.requested_by not in PLATFORM:
        return False
    return better_of(comparisons, rollout.to_version, champion) == champion


def may_begin(rollout: Rollout) -> bool:
    """Whether a waiting rollout moves traffic to a new, approved version once its turn comes."""
    return rollout.kind is Kind.START and rollout.abort_reason is None and not rollout.live_share
