"""Write the log record of a request and count it."""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from modelyard_contracts import PredictionStatus
from modelyard_contracts.inference import Answer
from modelyard_router.domain.answers import NO_ANSWER
from modelyard_router.domain.avro import EMPTY
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.hashing import EntityHasher
from modelyard_router.domain.leaves import Leaf
from modelyard_router.domain.ports import PredictionLog
from modelyard_router.domain.records import CHARGED, PREDICTION, Attempt, Outcome, encode_attempts
from modelyard_router.domain.requests import InputRow
from modelyard_router.domain.votes import Vote, encode_votes
from modelyard_router.usecases.exchange import Exchange
from modelyard_router.usecases.ids import new_id

OK: Final = PredictionStatus.OK


class Result(NamedTuple):
    """How a request ended."""

    leaf: Leaf
    """The version that answered, or the one charged with the failure."""
    rule: str
    status: PredictionStatus
    answers: Sequence[Answer]
    """One per row; empty when there is no answer."""
    attempts: Sequence[Attempt]
    votes: Sequence[Vote] = ()
    """The answers of an ensemble's members."""


class Recorder:
    """For one event loop."""

    def __init__(self, log: PredictionLog, counters: Counters, hash_of: EntityHasher) -> None:
        self._log, self._counters, self.hash_of = log, counters, hash_of

    def record_first(self, exchange: Exchange, answer: Answer) -> float:
        """Log a single row that the chosen version answered at once; returns the router's own seconds.

        SpoolFull: nothing was done.
        """
        leaf, call, records = exchange.leaf, exchange.call, exchange.leaf.records
        finished = time.perf_counter()
        latency_s, upstream_s = finished - call.started, finished - exchange.sent
        overhead_s = latency_s - upstream_s
        hashed = self.hash_of(exchange.entity_key)
        attempts = records.single_attempt(OK, upstream_s * 1000)
        outcome = OK, leaf.rule, attempts, hashed, latency_s * 1000, overhead_s * 1000, leaf.cost_usd, None, EMPTY
        row = exchange.bound[0][0]
        record = records.encode(new_id(), exchange.occurred_us, row.id, row.logged, answer, outcome)
        self._log.append(PREDICTION, row.id.encode(), record, call.trace)
        self._counters.outcome(leaf.route, leaf.variant, "ok").observe(latency_s, overhead_s, 1)
        return overhead_s

    def record(self, exchange: Exchange, result: Result) -> float:
        """Log all rows of a request; returns the router's own seconds. SpoolFull: nothing was done."""
        finished = time.perf_counter()
        latency_s = finished - exchange.call.started
        overhead_s = latency_s - (finished - exchange.sent)
        leaf = result.leaf
        rows = (exchange.bound_to(leaf) or exchange.bound)[0]
        outcome = Outcome(
            result.status,
            result.rule,
            encode_attempts(result.attempts),
            self.hash_of(exchange.entity_key),
            latency_s * 1000,
            overhead_s * 1000,
            cost_usd(result.attempts),
        )
        self._append(exchange, result, rows, outcome)
        counted = self._counters.outcome(leaf.route, leaf.variant, result.status.value)
        counted.observe(latency_s, overhead_s, len(result.attempts))
        return overhead_s

    def record_copy(self, exchange: Exchange, result: Result, started: float) -> None:
        """Log the answers of a copy, each with the id of the prediction it shadows."""
        latency_ms = (time.perf_counter() - started) * 1000
        attempts, hashed = encode_attempts(result.attempts), self.hash_of(exchange.entity_key)
        rows = (exchange.bound_to(result.leaf) or exchange.bound)[0]
        encode = result.leaf.records.encode
        answers = result.answers or [NO_ANSWER] * len(rows)
        cost = cost_usd(result.attempts)
        pairs = []
        for place, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            votes = encode_votes(result.votes, place)
            outcome = Outcome(result.status, result.rule, attempts, hashed, latency_ms, 0.0, cost, row.id, votes)
            copy_id = new_id()
            record = encode(new_id(), exchange.occurred_us, copy_id, row.logged, answer, outcome)
            pairs.append((copy_id.encode(), record))
        self._log.append_all(PREDICTION, pairs, exchange.call.trace)

    def _append(self, exchange: Exchange, result: Result, rows: Sequence[InputRow], outcome: Outcome) -> None:
        encode, at, votes = result.leaf.records.encode, exchange.occurred_us, result.votes
        if len(rows) == 1:
            row, answer = rows[0], result.answers[0] if result.answers else NO_ANSWER
            end = outcome._replace(votes=encode_votes(votes, 0)) if votes else outcome
            record = encode(new_id(), at, row.id, row.logged, answer, end)
            self._log.append(PREDICTION, row.id.encode(), record, exchange.call.trace)
            return
        given = result.answers or [NO_ANSWER] * len(rows)
        ends = (
            [outcome._replace(votes=encode_votes(votes, i)) for i in range(len(rows))]
            if votes
            else [outcome] * len(rows)
        )
        pairs = [
            (row.id.encode(), encode(new_id(), at, row.id, row.logged, answer, end))
            for row, answer, end in zip(rows, given, ends, strict=True)
        ]
        self._log.append_all(PREDICTION, pairs, exchange.call.trace)


def cost_usd(attempts: Sequence[Attempt]) -> float:
    """Of one row: the price of every call that reached its version."""
    return float(sum([attempt.leaf.cost_usd for attempt in attempts if attempt.status in CHARGED]))
