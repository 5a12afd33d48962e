"""Predict one row, or infer many. Nothing is answered before it is logged."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from modelyard_contracts import PredictionStatus
from modelyard_contracts.inference import Answer
from modelyard_router.domain.answers import NO_ANSWER, infer_answer, prediction_of, read_rows
from modelyard_router.domain.contract import Contract
from modelyard_router.domain.errors import CallerDeadline, NotFoundHere, RouterError, UpstreamTimeout
from modelyard_router.domain.leaves import Header, Leaf
from modelyard_router.domain.open_inference import Infer, read_infer, rows_of
from modelyard_router.domain.ports import PredictionLog
from modelyard_router.domain.records import Attempt
from modelyard_router.domain.requests import Call, InputRow, Reply
from modelyard_router.domain.upstreams import AnswerReader, FirstAttempt, UpstreamError
from modelyard_router.domain.votes import Vote
from modelyard_router.plan.executor import Execution, Executor
from modelyard_router.plan.facts import Facts
from modelyard_router.plan.planner import Decision
from modelyard_router.plan.route import Route
from modelyard_router.usecases.exchange import Bind, Bound, Exchange
from modelyard_router.usecases.ids import new_id
from modelyard_router.usecases.read import facts_of, read_predict, values_for
from modelyard_router.usecases.recorder import OK, Recorder, Result, cost_usd
from modelyard_router.usecases.shadows import Shadows

_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = (b"content-type", b"application/json")
DEADLINE_GRAIN_S: Final = 0.005


class Failed(Exception):
    """A logged failure: the error, and the headers that describe how it came about."""

    def __init__(self, error: RouterError, headers: list[Header]) -> None:
        super().__init__(str(error))
        self.error, self.headers = error, headers


class Predictions:
    """For one event loop. now_us: microseconds since 1970."""

    def __init__(
        self,
        executor: Executor,
        log: PredictionLog,
        recorder: Recorder,
        shadows: Shadows,
        *,
        max_rows: int,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._executor, self._log, self.recorder, self._shadows = executor, log, recorder, shadows
        self._max_rows, self._now_us = max_rows, now_us
        self._loop = asyncio.get_running_loop()

    async def predict(self, route: Route, body: bytes, call: Call) -> Reply:
        """One row: check the contract, choose a version, ask it, log, answer."""
        return await self.finish(self.begin(route, body, call))

    def begin(self, route: Route, body: bytes, call: Call) -> Exchange:
        """The first half of `predict`: everything before a version is asked."""
        request = read_predict(route, body)
        request_id = request.prediction_id or new_id()
        decision: Decision | None = None
        if route.needs_facts:
            decision = route.decide(facts_of(route, request, request_id, call))
            leaf = decision.candidates[0].leaf
        else:
            leaf = route.choose(request_id if route.by_request else request.entity_key or request_id)

        def bind(contract: Contract) -> Bound:
            values = values_for(route, request, contract)
            return [InputRow(request_id, contract.logged(values))], contract.infer_body(values[0], values[1])

        return self._begin(route, leaf, decision, bind, request.entity_key, call)

    async def finish(self, exchange: Exchange, first: FirstAttempt | None = None) -> Reply:
        """The second half of `predict`. first: the outcome of an attempt already made, or None."""
        request_id = exchange.rows[0].id
        done, headers = await self._exchange(exchange, request_id, read_rows, first)
        answer = done.answer[0] if done.answer else NO_ANSWER
        return 200, headers, self.answer_body(request_id, done.leaf, answer, done.votes)

    def answer_body(self, prediction_id: str, leaf: Leaf, answer: Answer, votes: Sequence[Vote] = ()) -> bytes:
        """The JSON that a caller of `predict` receives."""
        return _ENCODE(prediction_of(prediction_id, leaf, answer, votes))

    async def infer(self, route: Route, body: bytes, call: Call, version: int | None = None) -> Reply:
        """Many rows for one version; both bodies are forwarded unchanged. version: the caller's choice, or None."""
        infer = read_infer(body, self._max_rows)
        request_id = infer.id or new_id()
        leaf, decision = _choose(route, infer, request_id, call, version)
        ids = infer.parameters.prediction_ids or _row_ids(request_id, infer.rows)

        def bind(contract: Contract) -> Bound:
            rows = zip(ids, rows_of(infer, contract), strict=True)
            return [InputRow(id_, contract.logged(values)) for id_, values in rows], body

        exchange = self._begin(route, leaf, decision, bind, infer.parameters.entity_key, call)
        done, headers = await self._exchange(exchange, request_id, partial(read_rows, count=infer.rows))
        if done.votes and done.answer is not None:
            return 200, headers, infer_answer(infer.id, done.leaf, done.answer, done.votes)
        return 200, headers, done.body

    def _begin(
        self, route: Route, leaf: Leaf, decision: Decision | None, bind: Bind, entity_key: str | None, call: Call
    ) -> Exchange:
        if self._log.full:
            raise self._log.full_error()
        bound = bind(leaf.contract)
        sent = time.perf_counter()
        total_s = route.timeout_s if call.timeout_s is None else min(route.timeout_s, call.timeout_s)
        remaining_s = total_s - (sent - call.started)
        if remaining_s <= 0:
            late = CallerDeadline if total_s < route.timeout_s else UpstreamTimeout
            raise late("the deadline passed while the request was read; nothing was predicted")
        deadline = self._loop.time() + remaining_s
        now_us = self._now_us()
        return Exchange(route, leaf, decision, bound, bind, entity_key, call, now_us, sent, remaining_s, deadline)

    async def _exchange(
        self, exchange: Exchange, request_id: str, read: AnswerReader[list[Answer]], first: FirstAttempt | None = None
    ) -> tuple[Execution[list[Answer]], list[Header]]:
        """Ask versions and log the outcome; raises Failed, after logging, when none gave a usable answer."""
        decision = exchange.candidates
        done = await self._executor.run(decision, exchange.tail_for, exchange.deadline, read, first)
        error, status = self._failure(exchange, done)
        result = Result(done.leaf, done.rule, status, done.answer or (), done.attempts, done.votes)
        overhead_s = self.recorder.record(exchange, result)
        if decision.copies:
            self._shadows.send(exchange, decision.copies)
        if self._log.fsync:
            await self._log.synced()
        headers = _headers(exchange, result, request_id, overhead_s)
        if error is not None:
            raise Failed(error, headers)
        headers.append(_JSON)
        return done, headers

    def _failure(
        self, exchange: Exchange, done: Execution[list[Answer]]
    ) -> tuple[RouterError | None, PredictionStatus]:
        """The error to answer and the status to log. A caller's own deadline is not an error of the version."""
        failure: UpstreamError | None = done.failure
        if failure is None:
            return None, OK
        late = self._loop.time() >= exchange.deadline - DEADLINE_GRAIN_S
        if exchange.own_deadline and late and failure.kind is PredictionStatus.TIMEOUT:
            last = done.attempts[-1]
            done.attempts[-1] = Attempt(last.leaf, PredictionStatus.REJECTED, last.latency_ms)
            return CallerDeadline(f"{failure.error}; allow more than the given deadline"), PredictionStatus.REJECTED
        return failure.error, failure.kind


def _choose(
    route: Route, infer: Infer, request_id: str, call: Call, version: int | None
) -> tuple[Leaf, Decision | None]:
    entity_key = infer.parameters.entity_key
    if version is not None:
        leaf = route.of_version(version)
        if leaf is None:
            known = ", ".join(sorted({str(leaf.version) for leaf in route.leaves}))
            raise NotFoundHere(f"route {route.name} has no version {version} (it has: {known})")
        return leaf, route.decision_of(leaf)
    if not route.needs_facts:
        return route.choose(request_id if route.by_request else entity_key or request_id), None
    facts = Facts(request_id, entity_key, call.session, route.workspace, None, call.header_facts())
    decision = route.decide(facts)
    return decision.candidates[0].leaf, decision


def _headers(exchange: Exchange, result: Result, request_id: str, overhead_s: float) -> list[Header]:
    cost = cost_usd(result.attempts) * len(exchange.rows)
    headers: list[Any] = [
        *result.leaf.headers,
        (b"x-modelyard-request-id", request_id.encode()),
        (b"x-modelyard-rule", result.rule.encode()),
        (b"x-modelyard-attempts", b"%d" % len(result.attempts)),
        (b"x-modelyard-cost-usd", b"%g" % cost),
        (b"x-modelyard-overhead-ms", b"%.3f" % (overhead_s * 1000)),
    ]
    return headers


def _row_ids(request_id: str, count: int) -> list[str]:
    """A single row has the id of its request; several rows get `-<index>` appended."""
    return [request_id] if count == 1 else [f"{request_id}-{place}" for place in range(count)]
