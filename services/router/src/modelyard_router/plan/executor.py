"""Call the versions of a decision in order, until one answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from modelyard_contracts import PredictionStatus
from modelyard_contracts.inference import Answer
from modelyard_router.domain.errors import UpstreamUnavailable
from modelyard_router.domain.leaves import Group, Leaf
from modelyard_router.domain.records import Attempt
from modelyard_router.domain.upstreams import Answered, AnswerReader, FirstAttempt, Times, UpstreamError, Upstreams
from modelyard_router.domain.votes import Vote, combine
from modelyard_router.plan.budget import RetryBudget
from modelyard_router.plan.nodes import FallbackNode
from modelyard_router.plan.planner import Candidate, Decision, Ensemble

A = TypeVar("A")
MAX_CALLS = 10
"""Of one request, over all versions and replicas."""
UNAVAILABLE: Final = PredictionStatus.UNAVAILABLE.value
Rows = list[Answer]
SHARE_OF_TIME: Final = 0.85
"""Of the time that is left, for the one call of a group: its server answers by then with what it has."""
TryOne = Callable[[Candidate, Times, list[Attempt]], Awaitable[Answered[A] | None]]
"""(candidate, its times, attempts to add to) -> the answer; None when the request does not fit the candidate."""
TailFor = Callable[[Leaf, float], bytes | None]
"""(leaf, seconds left) -> the request from the value of content-length on; None when it breaks the leaf's contract."""


@dataclass(slots=True)
class Execution(Generic[A]):
    """The outcome of a decision."""

    leaf: Leaf
    """The version that answered, or the one charged with the failure."""
    rule: str
    attempts: list[Attempt] = field(default_factory=list)
    answer: A | None = None
    body: bytes = b""
    failure: UpstreamError | None = None
    votes: tuple[Vote, ...] = ()
    """The answers of an ensemble's members, in the plan's order; `leaf` is the first of them."""
    tries: int = 0
    """Calls so far, where an ensemble counts as one."""


class Executor:
    """For one event loop; holds the retry budgets."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._budgets: dict[tuple[str, str, float], RetryBudget] = {}
        self._loop = asyncio.get_running_loop()

    async def run(
        self,
        decision: Decision,
        tail_for: TailFor,
        deadline: float,
        read: AnswerReader[Rows],
        first: FirstAttempt | None = None,
    ) -> Execution[Rows]:
        """Ask versions for a whole answer. first: an attempt of the first candidate that was already made, or None."""
        pending = first

        async def attempt(candidate: Candidate, times: Times, attempts: list[Attempt]) -> Answered[Rows] | None:
            nonlocal pending
            given, pending = pending, None
            if candidate.ensemble is not None:
                return await self._vote(candidate.ensemble, tail_for, times.answered_by, read, attempts, given)
            leaf = candidate.leaf
            tail = tail_for(leaf, times.answered_by - self._loop.time())
            return None if tail is None else await self._upstreams.ask(leaf, tail, times, read, attempts, given)

        return await self.try_all(decision, deadline, attempt)

    async def _vote(
        self,
        ensemble: Ensemble,
        tail_for: TailFor,
        limit: float,
        read: AnswerReader[Rows],
        attempts: list[Attempt],
        given: FirstAttempt | None,
    ) -> Answered[Rows]:
        """Ask all members at once and combine the answers that came in time; UpstreamError without a quorum.

        given: the call for the only group, if it was already made.
        """
        node, members = ensemble
        runs = await self._run_members(ensemble, tail_for, limit, read, given)
        for run in runs:
            attempts += run.attempts
        voted = [
            Vote(run.leaf, member.weight, run.answer)
            for member, run in zip(members, runs, strict=True)
            if run.answer is not None
        ]
        if len(voted) < node.quorum:
            raise _without_quorum(runs, node.quorum)
        return Answered(combine(node.combiner, voted), b"", "", tuple(voted))

    async def _run_members(
        self, ensemble: Ensemble, tail_for: TailFor, limit: float, read: AnswerReader[Rows], given: FirstAttempt | None
    ) -> list[Execution[Rows]]:
        """One run per member, in their order. Members outside of the groups do not wait for these."""
        node, members = ensemble
        runs: dict[int, Execution[Rows]] = {}

        async def run(place: int, first: FirstAttempt | None = None) -> None:
            runs[place] = await self.run(Decision(members[place].candidates), tail_for, limit, read, first)

        async def run_group(group: Group) -> None:
            firsts = await self._ask_group(group, tail_for, limit, given)
            await asyncio.gather(*[run(place, first) for place, first in zip(group.members, firsts, strict=True)])

        grouped = {place for group in node.groups for place in group.members}
        alone = [run(place) for place in range(len(members)) if place not in grouped]
        await asyncio.gather(*alone, *[run_group(group) for group in node.groups])
        return [runs[place] for place in range(len(members))]

    async def _ask_group(
        self, group: Group, tail_for: TailFor, limit: float, given: FirstAttempt | None
    ) -> list[FirstAttempt | None]:
        """The attempts of a group's members by one call; None for members that must be asked by themselves."""
        left_s = limit - self._loop.time()
        tail = tail_for(group.leaves[0], left_s * SHARE_OF_TIME)
        if tail is None:
            return [None] * len(group.leaves)
        found = await self._upstreams.ask_all(group, tail, Times(limit, limit), given)
        return list(found) if found is not None else [None] * len(group.leaves)

    async def try_all(self, decision: Decision, deadline: float, attempt: TryOne[A]) -> Execution[A]:
        """Try versions until one answers. deadline: on the event loop's clock, for all attempts together."""
        chosen = decision.candidates[0].leaf
        done: Execution[A] = Execution(chosen, chosen.rule)
        self._earn(chosen.route, decision)
        for place, candidate in enumerate(decision.candidates):
            if not self._may_try(candidate, done):
                continue
            leaf = candidate.leaf
            before = len(done.attempts)
            try:
                answered = await attempt(candidate, self._times(decision, place, deadline), done.attempts)
            except UpstreamError as error:
                self._failed(done, error.leaf or leaf, error)
                continue
            finally:
                done.tries += 1 if candidate.ensemble else len(done.attempts) - before
            if answered is not None:
                reason = answered.reason or (done.failure.reason if done.failure else "")
                done.rule = f"fallback:{chosen.variant}:{reason}" if reason else leaf.rule
                done.answer, done.body, done.votes, done.failure = answered.answer, answered.body, answered.votes, None
                done.leaf = done.votes[0].leaf if done.votes else leaf
                return done
        return done

    def _failed(self, done: Execution[A], leaf: Leaf, error: UpstreamError) -> None:
        """A version's own error is logged against it; if none could be reached, the chosen one is named."""
        if error.kind is PredictionStatus.UNAVAILABLE:
            if done.failure is None or done.failure.kind is PredictionStatus.UNAVAILABLE:
                done.rule = f"fallback:{done.leaf.variant}:{error.reason}"
        else:
            done.rule = leaf.rule if done.failure is None else f"fallback:{done.leaf.variant}:{done.failure.reason}"
            done.leaf = leaf
        done.failure = error

    def _may_try(self, candidate: Candidate, done: Execution[A]) -> bool:
        if done.failure is None:
            return not candidate.after
        if not _follows(done.failure, candidate) or done.tries >= MAX_CALLS:
            return False
        fallback = candidate.fallback
        if fallback is None:
            return True
        if done.tries >= fallback.max_attempts:
            return False
        return self._budget(candidate.leaf.route, fallback).spend()

    def _times(self, decision: Decision, place: int, deadline: float) -> Times:
        """The times of an attempt: versions that may step in keep time to connect."""
        answered_by, now = self._limit(decision, place, deadline), self._loop.time()
        later = sum(UNAVAILABLE in candidate.after for candidate in decision.candidates[place + 1 :])
        return Times(answered_by, min(answered_by, now + max(deadline - now, 0.0) / (later + 1)))

    def _limit(self, decision: Decision, place: int, deadline: float) -> float:
        """When an attempt ends: the leaf's own limit, or an equal share of the time that later attempts need too."""
        now = self._loop.time()
        leaf, _, _, ensemble = decision.candidates[place]
        own_s = ensemble.node.deadline_s if ensemble else leaf.timeout_s
        if own_s is not None:
            return min(deadline, now + own_s)
        later = sum("timeout" in candidate.after for candidate in decision.candidates[place + 1 :])
        return now + max(deadline - now, 0.0) / (later + 1)

    def _earn(self, route: str, decision: Decision) -> None:
        for fallback in {candidate.fallback for candidate in decision.candidates if candidate.fallback}:
            self._budget(route, fallback).earn()

    def _budget(self, route: str, node: FallbackNode) -> RetryBudget:
        key = route, node.path, node.retry_budget
        budget = self._budgets.get(key)
        if budget is None:
            budget = self._budgets[key] = RetryBudget(node.retry_budget)
        return budget


def _without_quorum(runs: Sequence[Execution[Rows]], quorum: int) -> UpstreamError:
    """The first failure of a member; without one, too few members take the request's features."""
    for run in runs:
        if run.failure is not None:
            run.failure.leaf = run.leaf
            return run.failure
    fitting = sum(run.answer is not None for run in runs)
    text = f"{fitting} of {len(runs)} members take these features, the quorum is {quorum}"
    return UpstreamError(UpstreamUnavailable(text), "no_quorum")


def _follows(failure: UpstreamError, candidate: Candidate) -> bool:
    """Whether a version is tried after this failure. A time-out before a byte was sent left the version unreached."""
    return failure.kind.value in candidate.after or (not failure.sent and UNAVAILABLE in candidate.after)
