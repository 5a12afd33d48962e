"""Predict one row, or infer many. Nothing is answered before it is logged."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from modelyard_contracts import PredictionStatus
from modelyard_router.domain.answers import Prediction, Row, named_scores, read_row, read_rows
from modelyard_router.domain.contract import Contract, Envelope
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.errors import RouterError, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from modelyard_router.domain.open_inference import read_request, rows_of
from modelyard_router.domain.ports import PredictionLog
from modelyard_router.domain.records import PREDICTION
from modelyard_router.domain.requests import Call, Exchange, InputRow, Reply
from modelyard_router.domain.routes import Header, Route, Target
from modelyard_router.domain.upstreams import Answered, AnswerReader, FirstAttempt, UpstreamError, Upstreams
from modelyard_router.domain.violations import explain
from modelyard_router.usecases.ids import new_id

OK: Final = PredictionStatus.OK
_ENCODE: Final = msgspec.json.Encoder().encode
_ENVELOPE: Final = msgspec.json.Decoder(Envelope).decode
_JSON: Final = (b"content-type", b"application/json")
_NO_ANSWER: Final = Row(None, None, ())
_STATUS: Final = {
    UpstreamFailed.code: PredictionStatus.UPSTREAM_ERROR,
    UpstreamTimeout.code: PredictionStatus.TIMEOUT,
    UpstreamUnavailable.code: PredictionStatus.UNAVAILABLE,
}


class Failed(Exception):
    """A logged failure: the error, and the headers that describe how it came about."""

    def __init__(self, error: RouterError, headers: list[Header]) -> None:
        super().__init__(str(error))
        self.error, self.headers = error, headers


class Predictions:
    """For one event loop. now_us: microseconds since 1970. entity_secret: key of the hash of entity keys."""

    def __init__(
        self,
        upstreams: Upstreams,
        log: PredictionLog,
        counters: Counters,
        *,
        entity_secret: bytes,
        max_rows: int,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._upstreams, self._log, self._counters = upstreams, log, counters
        self._keyed = hashlib.blake2b(digest_size=16, key=entity_secret[:64])
        self._max_rows, self._now_us = max_rows, now_us
        self._loop = asyncio.get_running_loop()

    async def predict(self, route: Route, body: bytes, call: Call) -> Reply:
        """One row: check the contract, ask a version, log, answer."""
        return await self.finish(self.begin(route, body, call))

    def begin(self, route: Route, body: bytes, call: Call) -> Exchange:
        """The first half of `predict`: everything before a version is asked."""
        target, row, entity_key = self._admit(route, body)
        data = target.contract.infer_body(row.numbers, row.words)
        return self._begin(route, target, (row,), entity_key, data, call)

    async def finish(self, exchange: Exchange, first: FirstAttempt | None = None) -> Reply:
        """The second half of `predict`. first: the outcome of an attempt already made, or None."""
        answered, headers = await self._exchange(exchange, exchange.rows[0].id, read_row, first)
        return 200, headers, self.answer_body(exchange, answered.target, answered.answer[0])

    def answer_body(self, exchange: Exchange, target: Target, row: Row) -> bytes:
        """The JSON that a caller of `predict` receives."""
        prediction = Prediction(
            exchange.rows[0].id,
            exchange.route.model,
            target.version,
            target.digest,
            row.class_,
            row.score,
            named_scores(target.contract.schema.classes, row),
            exchange.route.name,
            target.variant,
        )
        return _ENCODE(prediction)

    async def infer(self, route: Route, body: bytes, call: Call) -> Reply:
        """Many rows for one target; both bodies pass through unchanged."""
        request, count = read_request(body, self._max_rows)
        request_id = request.id or new_id()
        entity_key = request.parameters.entity_key
        target = route.choose(entity_key or request_id)
        columns = rows_of(request, count, target.contract)
        ids = request.parameters.prediction_ids or _row_ids(request_id, count)
        rows = [InputRow(id_, *values) for id_, values in zip(ids, columns, strict=True)]
        exchange = self._begin(route, target, rows, entity_key, body, call)
        answered, headers = await self._exchange(exchange, request_id, partial(read_rows, count=count))
        return 200, headers, answered.body

    def _admit(self, route: Route, body: bytes) -> tuple[Target, InputRow, str | None]:
        """Check the contract and choose the target; the target first where the targets' contracts differ."""
        contract = route.contract
        try:
            request = _ENVELOPE(body) if contract is None else contract.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            explain(body, (contract or route.targets[-1].contract).schema, error)
        prediction_id = request.prediction_id or new_id()
        entity_key = request.entity_key
        target = route.choose(entity_key or prediction_id)
        features = _features(request.features, target.contract) if contract is None else request.features
        return target, InputRow(prediction_id, *target.contract.columns(features)), entity_key

    def _begin(
        self, route: Route, target: Target, rows: Sequence[InputRow], entity_key: str | None, data: bytes, call: Call
    ) -> Exchange:
        if self._log.full:
            raise self._log.full_error()
        sent = time.perf_counter()
        total_s = route.timeout_s if call.timeout_s is None else min(route.timeout_s, call.timeout_s)
        remaining_s = total_s - (sent - call.started)
        if remaining_s <= 0:
            raise UpstreamTimeout("the deadline passed while the request was read; nothing was predicted")
        deadline = self._loop.time() + remaining_s
        tail = _tail(data, remaining_s, call.trace)
        return Exchange(route, target, rows, entity_key, tail, call, self._now_us(), sent, deadline)

    async def _exchange(
        self, exchange: Exchange, request_id: str, read: AnswerReader[list[Row]], first: FirstAttempt | None = None
    ) -> tuple[Answered[list[Row]], list[Header]]:
        """Ask a replica and log the outcome; raises Failed, after logging, when no version gave a usable answer."""
        failure: UpstreamError | None = None
        try:
            answered = await self._upstreams.ask(
                exchange.route, exchange.target, exchange.tail, exchange.deadline, read, first
            )
            target, attempts, rule, status = answered.target, answered.attempts, answered.rule, OK
            rows = answered.answer
        except UpstreamError as error:
            failure = error
            target, attempts, rule = error.target, error.attempts, error.rule
            status, rows = _STATUS[error.error.code], [_NO_ANSWER] * len(exchange.rows)
        overhead_s = self.record(exchange, target, attempts, rule, status, rows)
        if self._log.fsync:
            await self._log.synced()
        headers = [
            *target.headers,
            (b"x-modelyard-request-id", request_id.encode()),
            (b"x-modelyard-rule", rule.encode()),
            (b"x-modelyard-attempts", b"%d" % attempts),
            (b"x-modelyard-cost-usd", b"%g" % (target.cost_usd * len(exchange.rows))),
            (b"x-modelyard-overhead-ms", b"%.3f" % (overhead_s * 1000)),
        ]
        if failure is not None:
            raise Failed(failure.error, headers)
        headers.append(_JSON)
        return answered, headers

    def record(
        self,
        exchange: Exchange,
        target: Target,
        attempts: int,
        rule: str,
        status: PredictionStatus,
        answers: Sequence[Row],
    ) -> float:
        """Log and count; returns the router's own share of the time in seconds. SpoolFull: nothing was done."""
        rows, call = exchange.rows, exchange.call
        finished = time.perf_counter()
        latency_s = finished - call.started
        overhead_s = latency_s - (finished - exchange.sent)
        ms = latency_s * 1000, overhead_s * 1000
        how = status, attempts, rule, self.hash_of(exchange.entity_key)
        encode, at = target.records.encode, exchange.occurred_us
        if len(rows) == 1:
            row = rows[0]
            record = encode(new_id(), at, row.id, row.numbers, row.words, answers[0], ms, how)
            self._log.append(PREDICTION, row.id.encode(), record, call.trace)
        else:
            pairs = [
                (row.id.encode(), encode(new_id(), at, row.id, row.numbers, row.words, answer, ms, how))
                for row, answer in zip(rows, answers, strict=True)
            ]
            self._log.append_all(PREDICTION, pairs, call.trace)
        outcome = self._counters.outcome(exchange.route.name, target.variant, status.value)
        outcome.observe(latency_s, overhead_s, attempts)
        return overhead_s

    def hash_of(self, entity_key: str | None) -> str | None:
        """One-way hash of an entity key, the same on every router of an installation."""
        if entity_key is None:
            return None
        keyed = self._keyed.copy()
        keyed.update(entity_key.encode("utf-8", "surrogatepass"))
        return keyed.hexdigest()


def _row_ids(request_id: str, count: int) -> list[str]:
    """A single row has the id of its request; several rows get `-<index>` appended."""
    return [request_id] if count == 1 else [f"{request_id}-{place}" for place in range(count)]


def _tail(body: bytes, remaining_s: float, trace: bytes) -> bytes:
    """A request to a replica from the value of content-length on."""
    traced = b"\r\ntraceparent: " + trace if trace else b""
    return b"%d\r\nx-modelyard-timeout-ms: %d%b\r\n\r\n%b" % (len(body), remaining_s * 1000 + 1, traced, body)


def _features(raw: msgspec.Raw, contract: Contract) -> Any:
    """Decode features that were kept as bytes until their contract was known."""
    try:
        return contract.decode_features(raw)
    except msgspec.DecodeError as error:
        explain(b'{"features":' + bytes(raw) + b"}", contract.schema, error)
