"""What the router does for a caller: predict one row, infer many, take labels in.

Nothing is answered before it is logged.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from modelyard_contracts import PredictionStatus
from modelyard_router.domain.answers import Prediction, Row, named_scores, read_row, read_rows
from modelyard_router.domain.complaints import explain
from modelyard_router.domain.contract import Contract, Envelope, Numbers, Words
from modelyard_router.domain.feedback import Label, read_labels
from modelyard_router.domain.records import encode_feedback
from modelyard_router.domain.tables import Header, Route, Target
from modelyard_router.domain.tensors import read_request, rows_of
from modelyard_router.errors import RouterError, UpstreamFailed, UpstreamGone, UpstreamTimeout
from modelyard_router.metrics import RouterMetrics
from modelyard_router.spool.segment import FEEDBACK, PREDICTION
from modelyard_router.spool.spool import Spool
from modelyard_router.upstream.replicas import Answered, First, Reader, Replicas, UpstreamError

_ENCODE: Final = msgspec.json.Encoder().encode
_ENVELOPE: Final = msgspec.json.Decoder(Envelope).decode
_JSON: Final = (b"content-type", b"application/json")
OK: Final = PredictionStatus.OK


@dataclass(slots=True)
class Call:
    """What is known of a request before its body is read."""

    started: float
    """time.perf_counter() when it came in."""
    trace: bytes = b""
    timeout_s: float | None = None
    """The caller's own deadline; the route's holds when it is shorter."""


class Failed(Exception):
    """A logged failure: the error and the headers that say how it came about."""

    def __init__(self, error: RouterError, headers: list[Header]) -> None:
        super().__init__(str(error))
        self.error, self.headers = error, headers


class Asked(NamedTuple):
    """One row of a request that keeps to the contract."""

    id: str
    numbers: Numbers
    words: Words


@dataclass(slots=True)
class Exchange:
    """A request that keeps to the contract, and the version it goes to."""

    route: Route
    target: Target
    rows: Sequence[Asked]
    entity_key: str | None
    tail: bytes
    """The request to the replica, from the value of content-length on."""
    call: Call
    occurred_us: int
    asked: float
    """time.perf_counter() when the router's own work before the answer was done."""
    deadline: float
    """On the loop's clock."""


Reply = tuple[int, list[Header], bytes]


class Router:
    """For one event loop. `now_us`: microseconds since 1970; `entity_secret`: keys the hash of entity keys."""

    def __init__(
        self,
        replicas: Replicas,
        spool: Spool,
        metrics: RouterMetrics,
        *,
        entity_secret: bytes,
        max_rows: int,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._replicas, self._spool, self._metrics = replicas, spool, metrics
        self._keyed = hashlib.blake2b(digest_size=16, key=entity_secret[:64])
        self._max_rows, self._now_us = max_rows, now_us
        self._loop = asyncio.get_running_loop()

    async def predict(self, route: Route, body: bytes, call: Call) -> Reply:
        """One row: check the contract, ask a version, log, answer."""
        return await self.finish(self.begin(route, body, call))

    def begin(self, route: Route, body: bytes, call: Call) -> Exchange:
        """The part of `predict` before a version is asked."""
        target, row, entity_key = self._admit(route, body)
        return self._begin(route, target, (row,), entity_key, target.contract.infer_body(row.numbers, row.words), call)

    async def finish(self, asking: Exchange, first: First | None = None) -> Reply:
        """The part of `predict` behind. first: what came of asking once, if that was done already."""
        answered, headers = await self._exchange(asking, asking.rows[0].id, read_row, first)
        return 200, headers, self.body_of(asking, answered.target, answered.answer[0])

    def body_of(self, asking: Exchange, by: Target, said: Row) -> bytes:
        """What a caller of `predict` reads."""
        prediction = Prediction(
            asking.rows[0].id,
            asking.route.model,
            by.version,
            by.digest,
            said.class_,
            said.score,
            named_scores(by.contract.schema.classes, said),
            asking.route.name,
            by.variant,
        )
        return _ENCODE(prediction)

    async def infer(self, route: Route, body: bytes, call: Call) -> Reply:
        """Many rows for one target; both bodies pass through as they are."""
        request, count = read_request(body, self._max_rows)
        request_id = request.id or _event_id()
        entity_key = request.parameters.entity_key
        target = route.choose(entity_key or request_id)
        columns = rows_of(request, count, target.contract)
        ids = request.parameters.prediction_ids or _row_ids(request_id, count)
        rows = [Asked(id_, *values) for id_, values in zip(ids, columns, strict=True)]
        asking = self._begin(route, target, rows, entity_key, body, call)
        answered, headers = await self._exchange(asking, request_id, partial(read_rows, count=count))
        return 200, headers, answered.body

    async def feedback(self, body: bytes, call: Call) -> Reply:
        """Labels: all of a request or none; 202 once they are on disk."""
        labels = read_labels(body, self._max_rows)
        now_us = self._now_us()
        records = [(label.prediction_id.encode(), _feedback_record(label, now_us)) for label in labels]
        self._spool.append_all(FEEDBACK, records, call.trace)
        await self._spool.synced()
        self._metrics.feedback_items += len(labels)
        return 202, [_JSON], _ENCODE({"accepted": len(labels)})

    def _admit(self, route: Route, body: bytes) -> tuple[Target, Asked, str | None]:
        """Check the contract and choose the target; where the targets differ in contract, in the other order."""
        contract = route.contract
        try:
            request = _ENVELOPE(body) if contract is None else contract.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            explain(body, (contract or route.targets[-1].contract).schema, error)
        prediction_id = request.prediction_id or _event_id()
        entity_key = request.entity_key
        target = route.choose(entity_key or prediction_id)
        features = _features(request.features, target.contract) if contract is None else request.features
        return target, Asked(prediction_id, *target.contract.columns(features)), entity_key

    def _begin(
        self, route: Route, target: Target, rows: Sequence[Asked], entity_key: str | None, data: bytes, call: Call
    ) -> Exchange:
        if self._spool.full:
            raise self._spool.too_full()
        asked = time.perf_counter()
        total_s = route.timeout_s if call.timeout_s is None else min(route.timeout_s, call.timeout_s)
        remaining_s = total_s - (asked - call.started)
        if remaining_s <= 0:
            raise UpstreamTimeout("the deadline passed while the request was read; nothing was predicted")
        deadline = self._loop.time() + remaining_s
        tail = _tail(data, remaining_s, call.trace)
        return Exchange(route, target, rows, entity_key, tail, call, self._now_us(), asked, deadline)

    async def _exchange(
        self, asking: Exchange, request_id: str, read: Reader[list[Row]], first: First | None = None
    ) -> tuple[Answered[list[Row]], list[Header]]:
        """Ask a replica and log what came of it; Failed, after it was logged, when no version answered well."""
        failure: UpstreamError | None = None
        try:
            answered = await self._replicas.ask(asking.route, asking.target, asking.tail, asking.deadline, read, first)
            by, attempts, rule, status, said = answered.target, answered.attempts, answered.rule, OK, answered.answer
        except UpstreamError as error:
            failure = error
            by, attempts, rule, said = error.target, error.attempts, error.rule, [_NOTHING] * len(asking.rows)
            status = _STATUS[error.error.code]
        overhead_s = self.record(asking, by, attempts, rule, status, said)
        if self._spool.fsync:
            await self._spool.synced()
        headers = [
            *by.headers,
            (b"x-modelyard-request-id", request_id.encode()),
            (b"x-modelyard-rule", rule.encode()),
            (b"x-modelyard-attempts", b"%d" % attempts),
            (b"x-modelyard-cost-usd", b"%g" % (by.cost_usd * len(asking.rows))),
            (b"x-modelyard-overhead-ms", b"%.3f" % (overhead_s * 1000)),
        ]
        if failure is not None:
            raise Failed(failure.error, headers)
        headers.append(_JSON)
        return answered, headers

    def record(
        self, asking: Exchange, by: Target, attempts: int, rule: str, status: PredictionStatus, said: Sequence[Row]
    ) -> float:
        """Write the log and count; the router's own share of the time in seconds. SpoolFull: nothing was done."""
        rows, call = asking.rows, asking.call
        finished = time.perf_counter()
        latency_s = finished - call.started
        overhead_s = latency_s - (finished - asking.asked)
        ms = latency_s * 1000, overhead_s * 1000
        how = status, attempts, rule, self.hash_of(asking.entity_key)
        encode, at = by.records.encode, asking.occurred_us
        if len(rows) == 1:
            row = rows[0]
            record = encode(_event_id(), at, row.id, row.numbers, row.words, said[0], ms, how)
            self._spool.append(PREDICTION, row.id.encode(), record, call.trace)
        else:
            pairs = [
                (row.id.encode(), encode(_event_id(), at, row.id, row.numbers, row.words, one, ms, how))
                for row, one in zip(rows, said, strict=True)
            ]
            self._spool.append_all(PREDICTION, pairs, call.trace)
        self._metrics.outcome(asking.route.name, by.variant, status.value).observe(latency_s, overhead_s, attempts)
        return overhead_s

    def hash_of(self, entity_key: str | None) -> str | None:
        """The same for one key on every router of an installation, and not to be turned back."""
        if entity_key is None:
            return None
        keyed = self._keyed.copy()
        keyed.update(entity_key.encode("utf-8", "surrogatepass"))
        return keyed.hexdigest()


_NOTHING: Final = Row(None, None, ())
_STATUS: Final = {
    UpstreamFailed.code: PredictionStatus.UPSTREAM_ERROR,
    UpstreamTimeout.code: PredictionStatus.TIMEOUT,
    UpstreamGone.code: PredictionStatus.UNAVAILABLE,
}


class _Ids:
    """Random UUIDs (version 4) in their text form; one system call makes many of them."""

    def __init__(self) -> None:
        self._text, self._at = "", 0

    def __call__(self) -> str:
        if self._at == len(self._text):
            self._text, self._at = os.urandom(4096).hex(), 0
        at = self._at
        self._at = at + 32
        text = self._text[at : at + 32]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_event_id: Final = _Ids()


def _row_ids(request_id: str, count: int) -> list[str]:
    """A single row is called as its request; more get their number behind it."""
    return [request_id] if count == 1 else [f"{request_id}-{place}" for place in range(count)]


def _tail(body: bytes, remaining_s: float, trace: bytes) -> bytes:
    """A request to a replica from the value of content-length on."""
    traced = b"\r\ntraceparent: " + trace if trace else b""
    return b"%d\r\nx-modelyard-timeout-ms: %d%b\r\n\r\n%b" % (len(body), remaining_s * 1000 + 1, traced, body)


def _features(raw: msgspec.Raw, contract: Contract) -> Any:
    """Features that were kept as bytes until their contract was known."""
    try:
        return contract.decode_features(raw)
    except msgspec.DecodeError as error:
        explain(b'{"features":' + bytes(raw) + b"}", contract.schema, error)


def _feedback_record(label: Label, now_us: int) -> bytes:
    occurred_us = now_us if label.occurred_at is None else int(label.occurred_at.timestamp() * 1_000_000)
    return encode_feedback(_event_id(), occurred_us, label.prediction_id, label.label, label.value, label.source)
