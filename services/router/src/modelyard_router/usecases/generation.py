"""One generated answer: its pieces, and its record when it ends."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from modelyard_contracts import PredictionStatus
from modelyard_contracts.codec import encode
from modelyard_contracts.inference.generate import GenerateEvent, Usage
from modelyard_contracts.messages.serving import GenerationAttempt, GenerationLogged, GenerationStatus, TextPolicy
from modelyard_router.domain.answers import BadAnswer
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.generation import Generate, end_event, error_event, text_event
from modelyard_router.domain.hashing import EntityHasher
from modelyard_router.domain.leaves import Header, Leaf
from modelyard_router.domain.ports import PredictionLog
from modelyard_router.domain.records import CHARGED, GENERATION, Attempt
from modelyard_router.domain.requests import Call
from modelyard_router.domain.upstreams import CallFailed, CallTimedOut, Stream
from modelyard_router.plan.executor import Execution
from modelyard_router.plan.route import Route

MAX_TEXT_CHARACTERS: Final = 100_000
"""Of each text in a record; below the largest Kafka message."""
PER: Final = 1_000
"""Tokens of a price."""
now = time.perf_counter


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request before a version is asked."""

    request: Generate
    id: str
    call: Call
    route: Route
    sent: float
    """time.perf_counter() when the router's own work was done."""


@dataclass(frozen=True, slots=True)
class Started:
    """An answer whose first piece has arrived."""

    stream: Stream
    events: AsyncIterator[GenerateEvent]
    first: GenerateEvent
    began: float
    first_at: float
    """time.perf_counter() of the request to the version, and of the first piece."""


@dataclass(slots=True)
class Progress:
    """What has arrived of an answer so far."""

    characters: int = 0
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str = ""
    texts: list[str] = field(default_factory=list)


class Generation:
    """An answer in progress. Iterate `events` or await `whole`, then always `end` it."""

    def __init__(self, prepared: Prepared, done: Execution[Started], recorder: "GenerationRecorder") -> None:
        self.prepared, self._done, self._recorder = prepared, done, recorder
        self._progress = Progress()
        self._status: GenerationStatus | None = None
        self._ended = False

    @property
    def headers(self) -> list[Header]:
        return self._recorder.headers(self.prepared, self._done)

    async def events(self) -> AsyncIterator[bytes]:
        """Server-sent events for the caller. An answer that breaks off ends with an error event."""
        try:
            async for text in self._texts():
                yield text_event(text)
        except (CallFailed, BadAnswer) as error:
            self._broke_off(error)
            yield error_event(self._progress.error, str(error))
            return
        if self._status is GenerationStatus.OK:
            yield end_event(self._progress.finish_reason or "stop", self._progress.usage)
        else:
            yield error_event("upstream_error", "the answer ended without a finish reason")

    async def whole(self) -> dict[str, Any] | None:
        """The body of an answer that is not streamed; None when it broke off (`detail` names the reason)."""
        try:
            async for _ in self._texts():
                pass
        except (CallFailed, BadAnswer) as error:
            self._broke_off(error)
            return None
        if self._status is not GenerationStatus.OK:
            return None
        leaf, usage = self._done.leaf, self._progress.usage
        return {
            "generation_id": self.prepared.id,
            "model": leaf.model,
            "version": leaf.version,
            "digest": leaf.digest,
            "text": "".join(self._progress.texts),
            "finish_reason": self._progress.finish_reason,
            "usage": None
            if usage is None
            else {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
            "route": leaf.route,
            "variant": leaf.variant,
        }

    @property
    def timed_out(self) -> bool:
        return self._status is GenerationStatus.TIMEOUT

    async def end(self, status: GenerationStatus = GenerationStatus.CLIENT_CLOSED) -> None:
        """Close the stream and write the record, once. status: used when the answer had not ended by itself."""
        if self._ended:
            return
        self._ended = True
        started = self._started
        await started.stream.close()
        self._recorder.record(self.prepared, self._done, self._progress, self._status or status)

    @property
    def _started(self) -> Started:
        if self._done.answer is None:
            raise RuntimeError("the answer was never started")
        return self._done.answer

    async def _texts(self) -> AsyncIterator[str]:
        started = self._started
        event: GenerateEvent | None = started.first
        while event is not None:
            if event.text_output:
                self._progress.characters += len(event.text_output)
                self._progress.texts.append(event.text_output)
                yield event.text_output
            if event.finish_reason:
                self._progress.finish_reason, self._progress.usage = event.finish_reason, event.usage
                self._status = GenerationStatus.OK
                return
            event = await anext(started.events, None)
        self._status = GenerationStatus.UPSTREAM_ERROR

    def _broke_off(self, error: Exception) -> None:
        late = isinstance(error, CallTimedOut)
        self._status = GenerationStatus.TIMEOUT if late else GenerationStatus.UPSTREAM_ERROR
        self._progress.error = "upstream_timeout" if late else "upstream_error"


class GenerationRecorder:
    """Writes GenerationLogged. text_policy: how much of the texts a record holds."""

    def __init__(
        self, log: PredictionLog, counters: Counters, hash_of: EntityHasher, text_policy: TextPolicy = TextPolicy.NONE
    ) -> None:
        self._log, self._counters, self._hash_of, self._policy = log, counters, hash_of, text_policy

    def record(
        self, prepared: Prepared, done: Execution[Started], progress: Progress, status: GenerationStatus
    ) -> None:
        """Log an answer that was started, however it ended."""
        started = done.answer
        latency_ms = 0.0 if started is None else (now() - started.began) * 1000
        usage = progress.usage
        last = _attempt(Attempt(done.leaf, PredictionStatus.OK, latency_ms), GenerationStatus(status), usage)
        first_ms = None if started is None else (started.first_at - prepared.call.started) * 1000
        attempts = (*(_attempt(one, GenerationStatus(one.status.value)) for one in done.attempts), last)
        self._write(prepared, done, progress, status, attempts, first_ms)

    def record_failure(self, prepared: Prepared, done: Execution[Started], status: PredictionStatus) -> None:
        """Log a request that no version started to answer."""
        attempts = [_attempt(one, GenerationStatus(one.status.value)) for one in done.attempts]
        if attempts and status is PredictionStatus.REJECTED:
            attempts[-1] = attempts[-1].model_copy(update={"status": GenerationStatus.REJECTED})
        self._write(prepared, done, Progress(), GenerationStatus(status.value), tuple(attempts), None)

    def headers(self, prepared: Prepared, done: Execution[Started]) -> list[Header]:
        return [
            *done.leaf.headers,
            (b"x-modelyard-request-id", prepared.id.encode()),
            (b"x-modelyard-rule", done.rule.encode()),
            (b"x-modelyard-attempts", b"%d" % (len(done.attempts) + (done.answer is not None))),
        ]

    def _write(
        self,
        prepared: Prepared,
        done: Execution[Started],
        progress: Progress,
        status: GenerationStatus,
        attempts: tuple[GenerationAttempt, ...],
        first_ms: float | None,
    ) -> None:
        request, leaf, call = prepared.request, done.leaf, prepared.call
        latency_s = now() - call.started
        overhead_s = prepared.sent - call.started
        usage = progress.usage
        record = GenerationLogged(
            event_id=uuid4(),
            occurred_at=datetime.now(UTC),
            **_identity(prepared, done),
            entity_key_hash=self._hash_of(request.entity_key),
            session_id=request.session_id or call.session,
            input_characters=request.characters,
            output_characters=progress.characters,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            time_to_first_token_ms=first_ms,
            latency_ms=latency_s * 1000,
            overhead_ms=overhead_s * 1000,
            cost_usd=sum(attempt.cost_usd for attempt in attempts),
            status=status,
            finish_reason=progress.finish_reason,
            attempts=attempts,
            text_policy=self._policy,
            input_text=self._text(request.recorded),
            output_text=self._text("".join(progress.texts)),
        )
        self._log.append(GENERATION, prepared.id.encode(), encode(record), call.trace)
        self._counters.outcome(leaf.route, leaf.variant, status.value).observe(latency_s, overhead_s, len(attempts))

    def _text(self, text: str) -> str | None:
        if self._policy is TextPolicy.FULL:
            return text[:MAX_TEXT_CHARACTERS]
        return self._hash_of(text) if self._policy is TextPolicy.HASH else None


def _identity(prepared: Prepared, done: Execution[Started]) -> dict[str, Any]:
    """The fields that name the generation and the version it is logged against."""
    leaf = done.leaf
    return {
        "generation_id": prepared.id,
        "workspace": prepared.route.workspace,
        "model": leaf.model,
        "model_version": leaf.version,
        "model_digest": leaf.digest,
        "route": leaf.route,
        "route_sequence": prepared.route.published.sequence,
        "variant": leaf.variant,
        "rule": done.rule,
        "path": leaf.path,
        "feature_schema_id": leaf.contract.id,
    }


def _attempt(attempt: Attempt, status: GenerationStatus, usage: Usage | None = None) -> GenerationAttempt:
    leaf: Leaf = attempt.leaf
    return GenerationAttempt(
        path=leaf.path,
        model=leaf.model,
        version=leaf.version,
        digest=leaf.digest,
        status=status,
        latency_ms=attempt.latency_ms,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cost_usd=_cost(attempt, usage),
    )


def _cost(attempt: Attempt, usage: Usage | None) -> float:
    if attempt.status not in CHARGED:
        return 0.0
    price = attempt.leaf.price
    if usage is None:
        return float(price.usd_per_call)
    tokens = usage.input_tokens * price.usd_per_1k_input_tokens + usage.output_tokens * price.usd_per_1k_output_tokens
    return float(price.usd_per_call + tokens / PER)
