"""Which replica of a version answers: healthy before avoided, least busy first, the next if one is unreachable."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from modelyard_contracts import PredictionStatus
from modelyard_router.domain.answers import BadAnswer, WrongReplica
from modelyard_router.domain.errors import (
    AnswersTexts,
    OutOfRange,
    ProviderBusy,
    RefusedParameter,
    RouterError,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from modelyard_router.domain.leaves import Address, Group, Leaf
from modelyard_router.domain.records import Attempt
from modelyard_router.domain.upstreams import (
    Answered,
    AnswerReader,
    CallFailed,
    CallTimedOut,
    FirstAttempt,
    Times,
    UpstreamError,
    Whole,
)
from modelyard_router.upstream.groups import attempts_of
from modelyard_router.upstream.pool import Pool, PoolLimits
from modelyard_router.upstream.stream import HttpStream, open_stream

MAX_REPLICAS_TRIED: Final = 4
REPLACEABLE: Final = (401, 403, 404, 503)
"""Statuses that another replica may not answer; all others are the version's own."""
NO_SUCH_CALL: Final = 404
BUSY: Final = 429
"""Of a model server whose provider accepts no more requests for a while."""
A = TypeVar("A")


class Replicas:
    """All pools of this router. A lost replica is replaced; a version's own error is reported."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._pools: dict[Address, Pool] = {}
        self._turn = 0
        self._loop = asyncio.get_running_loop()

    def keep(self, addresses: Iterable[Address]) -> None:
        """Retire the pools of all other addresses; requests in flight there are finished."""
        wanted = set(addresses)
        for address in self._pools.keys() - wanted:
            self._pools.pop(address).retire()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def nearest(self, leaf: Leaf) -> tuple[int, Pool]:
        """Index and pool of the replica that `ask` would try first."""
        place = 0 if len(leaf.addresses) == 1 else next(self._spread(leaf))
        return place, self.pool(leaf.addresses[place])

    async def ask(
        self,
        leaf: Leaf,
        tail: bytes,
        times: Times,
        read: AnswerReader[A],
        attempts: list[Attempt],
        first: FirstAttempt | None = None,
    ) -> Answered[A]:
        """See Upstreams. Inference changes no state, so a request may be sent again after a connection broke."""
        reason, most = "", min(len(leaf.addresses), MAX_REPLICAS_TRIED)
        for tried, place in enumerate(self._order(leaf, first)):
            given = first if tried == 0 else None
            started = time.perf_counter()
            try:
                answered = await self._attempt(leaf, place, tail, self._share(times, most - tried), read, given)
            except UpstreamError as error:
                _log(attempts, leaf, error.kind, started, given)
                if not error.replaceable:
                    raise
                reason = error.reason
                if tried + 1 == MAX_REPLICAS_TRIED:
                    break
                continue
            _log(attempts, leaf, PredictionStatus.OK, started, given)
            answered.reason = reason
            return answered
        raise _unavailable(leaf, reason)

    def _share(self, times: Times, replicas: int) -> Times:
        """The times of one replica, when others may be tried after it."""
        if replicas <= 1:
            return times
        return Times(times.answered_by, times.share_of(replicas, self._loop.time()))

    async def _attempt(
        self, leaf: Leaf, place: int, tail: bytes, times: Times, read: AnswerReader[A], given: FirstAttempt | None
    ) -> Answered[A]:
        """One call of one replica."""
        pool = self.pool(leaf.addresses[place])
        try:
            data = leaf.infer_head[place] + tail
            reply = _unwrap(given.outcome) if given else await pool.call(data, *times)
            if reply.status == 200:
                return Answered(read(reply.body, leaf), reply.body, "")
        except CallTimedOut as error:
            raise _timeout(leaf, pool.host, pool.port, error) from error
        except CallFailed as error:
            raise _error(UpstreamUnavailable, str(error), error.reason) from error
        except WrongReplica as error:
            raise _error(UpstreamUnavailable, "another version answers", "wrong_version") from error
        except BadAnswer as error:
            raise _error(UpstreamFailed, f"{_version(leaf)}: {error}", "bad_answer") from error
        if reply.status == NO_SUCH_CALL and leaf.generates:
            raise UpstreamError(AnswersTexts(f"{_version(leaf)}: use /v1/generate/{leaf.route}"), AnswersTexts.code)
        raise _refused(leaf, reply)

    async def ask_all(
        self, group: Group, tail: bytes, times: Times, first: FirstAttempt | None = None
    ) -> list[FirstAttempt] | None:
        """See Upstreams. A server that takes no such call is not asked that way again while a route names it."""
        if first is None:
            place, pool = self.nearest(group.leaves[0])
            if not pool.groups:
                return None
            started = time.perf_counter()
            outcome: Whole | CallFailed
            try:
                outcome = await pool.call(group.heads[place] + tail, *times)
            except CallFailed as error:
                outcome = error
            first = FirstAttempt(place, outcome, (time.perf_counter() - started) * 1000)
        found = attempts_of(group, first)
        if found is None:
            self.pool(group.leaves[0].addresses[first.place]).groups = False
        return found

    async def stream(self, leaf: Leaf, tail: bytes, times: Times, stall_s: float) -> HttpStream:
        """See Upstreams."""
        reason, most = "", min(len(leaf.addresses), MAX_REPLICAS_TRIED)
        for tried, place in enumerate(self._spread(leaf)):
            address = leaf.addresses[place]
            try:
                share = self._share(times, most - tried)
                found = await open_stream(address, leaf.generate_head[place] + tail, self._limits, share, stall_s)
            except CallTimedOut as error:
                raise _timeout(leaf, address.host, address.port, error) from error
            except CallFailed as error:
                reason = error.reason
            else:
                refused = await _refusal(leaf, found)
                if refused is None:
                    return found
                await found.close()
                if not refused.replaceable:
                    raise refused
                reason = refused.reason
            if tried + 1 == MAX_REPLICAS_TRIED:
                break
        raise _unavailable(leaf, reason)

    def pool(self, address: Address) -> Pool:
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = Pool(address.host, address.port, self._limits, tls=address.tls)
        return pool

    def _order(self, leaf: Leaf, first: FirstAttempt | None) -> Iterator[int]:
        """Indexes of replicas, lazily: the first one nearly always answers."""
        if first is not None:
            yield first.place
            yield from (place for place in self._spread(leaf) if place != first.place)
        elif len(leaf.addresses) == 1:
            yield 0
        else:
            yield from self._spread(leaf)

    def _spread(self, leaf: Leaf) -> Iterator[int]:
        """Healthy before avoided, least busy first, ties in turn."""
        count = len(leaf.addresses)
        self._turn += 1
        turn = self._turn
        pools = [self.pool(address) for address in leaf.addresses]
        yield from sorted(range(count), key=lambda i: (pools[i].avoided, pools[i].in_flight, (i + turn) % count))


def _log(
    attempts: list[Attempt], leaf: Leaf, status: PredictionStatus, started: float, given: FirstAttempt | None
) -> None:
    latency_ms = given.latency_ms if given else (time.perf_counter() - started) * 1000
    attempts.append(Attempt(leaf, status, latency_ms))


def _unwrap(outcome: Whole | CallFailed) -> Whole:
    if isinstance(outcome, CallFailed):
        raise outcome
    return outcome


def _timeout(leaf: Leaf, host: str, port: int, error: CallTimedOut) -> UpstreamError:
    return UpstreamError(UpstreamTimeout(f"{leaf.variant} at {host}:{port}: {error}"), "timeout", sent=error.sent)


def _error(kind: type[RouterError], text: str, reason: str) -> UpstreamError:
    return UpstreamError(kind(text), reason)


def _version(leaf: Leaf) -> str:
    return f"version {leaf.version} ({leaf.variant})"


class _Refusal(msgspec.Struct):
    """The body of a model server's error."""

    error: str
    code: str = ""
    field: str | None = None
    retry_after_s: int | None = None


def _read(body: bytes) -> _Refusal | None:
    try:
        return msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _callers_error(refusal: _Refusal) -> RouterError | None:
    """An error of the request: the router has checked what it knows, so that any other 400 is the version's error."""
    kind = {OutOfRange.code: OutOfRange, RefusedParameter.code: RefusedParameter}.get(refusal.code)
    return kind(refusal.error, field=refusal.field) if kind else None


def _refused(leaf: Leaf, reply: Whole) -> UpstreamError:
    """The error for an answer whose status is not 200."""
    if reply.status in REPLACEABLE:
        return _error(UpstreamUnavailable, f"{_version(leaf)} answered {reply.status}", f"status_{reply.status}")
    refusal = _read(reply.body)
    if refusal and reply.status == 400 and (error := _callers_error(refusal)):
        return UpstreamError(error, error.code)
    if refusal and reply.status == BUSY:
        busy = ProviderBusy(f"{_version(leaf)}: {refusal.error}", retry_after_s=refusal.retry_after_s)
        return UpstreamError(busy, f"status_{BUSY}")
    text = refusal.error if refusal else reply.body[:300].decode("utf-8", "replace")
    return _error(UpstreamFailed, f"{_version(leaf)} answered {reply.status}: {text}", f"status_{reply.status}")


async def _refusal(leaf: Leaf, found: HttpStream) -> UpstreamError | None:
    """Why a stream is not an answer of this version, or None."""
    if found.status != 200:
        return _refused(leaf, Whole(found.status, await found.short_body()))
    if found.digest and found.digest != leaf.digest:
        return _error(UpstreamUnavailable, "another version answers", "wrong_version")
    return None


def _unavailable(leaf: Leaf, reason: str) -> UpstreamError:
    text = f"route {leaf.route}: no replica of version {leaf.version} answers (last: {reason or 'none listed'}); "
    return _error(UpstreamUnavailable, f"{text}try again", reason or "no_replica")
