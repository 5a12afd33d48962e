"""Generate text, whole or as a stream. The record is written when the answer ends, however it ends."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from modelyard_contracts import PredictionStatus
from modelyard_router.domain.answers import BadAnswer
from modelyard_router.domain.errors import (
    CallerDeadline,
    NotGenerating,
    RouterError,
    TooLarge,
    UpstreamFailed,
    UpstreamTimeout,
)
from modelyard_router.domain.generation import Generate, events, read_generate, upstream_body
from modelyard_router.domain.leaves import Leaf
from modelyard_router.domain.ports import PredictionLog
from modelyard_router.domain.records import Attempt
from modelyard_router.domain.requests import Call
from modelyard_router.domain.upstreams import Answered, CallFailed, CallTimedOut, Times, UpstreamError, Upstreams
from modelyard_router.plan.executor import Execution, Executor
from modelyard_router.plan.facts import Facts
from modelyard_router.plan.planner import Candidate, Decision
from modelyard_router.plan.route import Route
from modelyard_router.usecases.exchange import tail
from modelyard_router.usecases.generation import Generation, GenerationRecorder, Prepared, Started
from modelyard_router.usecases.ids import new_id
from modelyard_router.usecases.predictions import Failed

DEADLINE_GRAIN_S: Final = 0.005
now = time.perf_counter


@dataclass(frozen=True)
class StreamLimits:
    """Bounds on generated answers."""

    stall_s: float = 10.0
    """Longest pause between two pieces."""
    total_s: float = 600.0


class Generations:
    """For one event loop."""

    def __init__(
        self,
        executor: Executor,
        upstreams: Upstreams,
        log: PredictionLog,
        recorder: GenerationRecorder,
        limits: StreamLimits,
    ) -> None:
        self._executor, self._upstreams, self._log = executor, upstreams, log
        self._recorder, self.limits = recorder, limits
        self._loop = asyncio.get_running_loop()

    async def start(self, route: Route, body: bytes, call: Call) -> Generation:
        """Choose a version and wait for the first piece of its answer; Failed, after logging, when none starts one.

        Until the first piece other versions may step in, as the caller has received nothing yet.
        """
        request = read_generate(body)
        if not any(leaf.generates for leaf in route.leaves):
            raise NotGenerating(f"route {route.name} has no version with text output; use /v1/predict/{route.name}")
        if self._log.full:
            raise self._log.full_error()
        prepared = Prepared(request, request.generation_id or new_id(), call, route, now())
        deadline = self._loop.time() + self._remaining_s(route, call)
        done = await self._executor.try_all(_decide(prepared), deadline, self._attempt(prepared))
        if done.answer is None:
            raise self._failed(prepared, done, deadline)
        return Generation(prepared, done, self._recorder)

    def _remaining_s(self, route: Route, call: Call) -> float:
        """Seconds for the first piece."""
        total_s = route.timeout_s if call.timeout_s is None else min(route.timeout_s, call.timeout_s)
        return max(total_s - (now() - call.started), 0.0)

    def _attempt(self, prepared: Prepared) -> Callable[[Candidate, Times, list[Attempt]], Any]:
        body = upstream_body(prepared.request, prepared.id)

        async def attempt(candidate: Candidate, times: Times, attempts: list[Attempt]) -> Answered[Started] | None:
            leaf = candidate.leaf
            if not leaf.generates:
                return None
            _check_length(prepared.request, leaf)
            data = tail(body, self.limits.total_s, prepared.call.trace)
            began = now()
            try:
                started = await self._first_piece(leaf, data, times)
            except UpstreamError as error:
                attempts.append(Attempt(leaf, error.kind, (now() - began) * 1000))
                raise
            return Answered(started, b"", "")

        return attempt

    async def _first_piece(self, leaf: Leaf, data: bytes, times: Times) -> Started:
        began = now()
        stream = await self._upstreams.stream(leaf, data, times, self.limits.stall_s)
        source = events(stream.pieces())
        try:
            async with asyncio.timeout_at(times.answered_by):
                first = await anext(source, None)
        except (TimeoutError, CallTimedOut) as error:
            await stream.close()
            raise UpstreamError(UpstreamTimeout("no piece of the answer before the deadline"), "timeout") from error
        except (CallFailed, BadAnswer) as error:
            await stream.close()
            text = f"the answer broke off before its first piece: {error}"
            raise UpstreamError(UpstreamFailed(text), "broken_off") from error
        if first is None:
            await stream.close()
            raise UpstreamError(UpstreamFailed("an empty answer"), "empty")
        return Started(stream, source, first, began, now())

    def _failed(self, prepared: Prepared, done: Execution[Started], deadline: float) -> Exception:
        failure = done.failure
        if failure is None:
            return NotGenerating(f"route {prepared.route.name}: the chosen version has no text output")
        error: RouterError = failure.error
        status: PredictionStatus = failure.kind
        own = prepared.call.timeout_s is not None and prepared.call.timeout_s < prepared.route.timeout_s
        if own and status is PredictionStatus.TIMEOUT and self._loop.time() >= deadline - DEADLINE_GRAIN_S:
            error, status = CallerDeadline(f"{error}; allow more than the given deadline"), PredictionStatus.REJECTED
        self._recorder.record_failure(prepared, done, status)
        return Failed(error, self._recorder.headers(prepared, done))


def _decide(prepared: Prepared) -> Decision:
    request, call, route = prepared.request, prepared.call, prepared.route
    facts = Facts(
        request_id=prepared.id,
        entity=request.entity_key,
        session=request.session_id or call.session,
        workspace=route.workspace,
        text_length=request.characters,
        headers=call.header_facts(),
        features={"text": request.asked},
    )
    return route.decide(facts)


def _check_length(request: Generate, leaf: Leaf) -> None:
    limit = leaf.contract.signature.columns[0].max_length
    if limit is not None and request.characters > limit:
        name = "text" if request.messages is None else "messages"
        raise TooLarge(f"{name}: {request.characters} characters; send at most {limit}", field=name)
