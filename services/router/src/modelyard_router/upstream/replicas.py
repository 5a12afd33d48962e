"""Which replica answers: the target's own first, then the next one, then another target of the route."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from modelyard_router.domain.answers import BadAnswer, WrongReplica
from modelyard_router.domain.errors import UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from modelyard_router.domain.routes import Address, Route, Target
from modelyard_router.domain.upstreams import (
    Answered,
    AnswerReader,
    CallFailed,
    CallTimedOut,
    FirstAttempt,
    UpstreamError,
    Whole,
)
from modelyard_router.upstream.pool import Pool, PoolLimits

MAX_ATTEMPTS: Final = 4
REPLACEABLE: Final = (401, 403, 404, 503)
"""Statuses that another replica may not answer; all others are the version's own."""
A = TypeVar("A")


class Replicas:
    """All pools of this router. A lost replica is replaced; a version's own error is reported."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._pools: dict[Address, Pool] = {}
        self._turn = 0

    def keep(self, addresses: Iterable[Address]) -> None:
        """Retire the pools of all other addresses; requests in flight there are finished."""
        wanted = set(addresses)
        for address in self._pools.keys() - wanted:
            self._pools.pop(address).retire()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def nearest(self, target: Target) -> tuple[int, Pool]:
        """Index and pool of the replica that `ask` would try first."""
        place = 0 if len(target.addresses) == 1 else next(self._spread(target))[1]
        return place, self.pool(target.addresses[place])

    async def ask(
        self,
        route: Route,
        target: Target,
        tail: bytes,
        deadline: float,
        read: AnswerReader[A],
        first: FirstAttempt | None = None,
    ) -> Answered[A]:
        """Send `tail` (length, headers, body) to the target; UpstreamError when no replica gives a usable answer.

        Inference changes no state, so a request may be sent again after a connection broke in the middle.
        """
        attempts, reason = 0, ""
        for candidate, place in self._order(route, target, first):
            attempts += 1
            rule = target.rule if not reason else f"fallback:{target.variant}:{reason}"
            pool = self.pool(candidate.addresses[place])
            try:
                if first is not None and attempts == 1:
                    reply = _unwrap(first.outcome)
                else:
                    reply = await pool.call(candidate.infer_head[place] + tail, deadline)
                if reply.status == 200:
                    return Answered(candidate, read(reply.body, candidate), reply.body, attempts, rule)
            except CallTimedOut as error:
                late = UpstreamTimeout(f"{candidate.variant} at {pool.host}:{pool.port}: {error}")
                raise UpstreamError(late, candidate, attempts, rule) from error
            except CallFailed as error:
                reason = error.reason
            except WrongReplica:
                reason = "wrong_version"
            except BadAnswer as error:
                bad = UpstreamFailed(f"version {candidate.version} ({candidate.variant}): {error}")
                raise UpstreamError(bad, candidate, attempts, rule) from error
            else:
                if reply.status not in REPLACEABLE:
                    raise UpstreamError(_failed(candidate, reply), candidate, attempts, rule)
                reason = f"status_{reply.status}"
            if attempts == MAX_ATTEMPTS:
                break
        rule = f"fallback:{target.variant}:{reason or 'no_replica'}"
        text = f"route {route.name}: no replica answers (last: {reason or 'none listed'}); try again"
        raise UpstreamError(UpstreamUnavailable(text), target, attempts, rule)

    def pool(self, address: Address) -> Pool:
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = Pool(*address, self._limits)
        return pool

    def _order(self, route: Route, target: Target, first: FirstAttempt | None) -> Iterator[tuple[Target, int]]:
        """(target, index of its replica), lazily: the first one nearly always answers."""
        if first is not None:
            yield target, first.place
            yield from ((target, place) for _, place in self._spread(target) if place != first.place)
        elif len(target.addresses) == 1:
            yield target, 0
        else:
            yield from self._spread(target)
        for other in route.others[target.variant]:
            yield from self._spread(other)

    def _spread(self, target: Target) -> Iterator[tuple[Target, int]]:
        """Healthy before avoided, least busy first, ties in turn."""
        count = len(target.addresses)
        self._turn += 1
        turn = self._turn
        pools = [self.pool(address) for address in target.addresses]
        for place in sorted(range(count), key=lambda i: (pools[i].avoided, pools[i].in_flight, (i + turn) % count)):
            yield target, place


def _unwrap(outcome: Whole | CallFailed) -> Whole:
    if isinstance(outcome, CallFailed):
        raise outcome
    return outcome


def _failed(target: Target, reply: Whole) -> UpstreamFailed:
    text = reply.body[:300].decode("utf-8", "replace")
    return UpstreamFailed(f"version {target.version} ({target.variant}) answered {reply.status}: {text}")
