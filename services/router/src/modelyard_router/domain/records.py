"""The records that the router writes, encoded from values straight to bytes.

A pydantic message per request would cost more than the rest of the request; the fields that are constant for a leaf are
encoded once, with its route. The bytes equal those of modelyard_contracts.codec.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from modelyard_contracts import FeedbackReceived, GenerationLogged, PredictionLogged, PredictionStatus
from modelyard_contracts.inference import Answer
from modelyard_router.domain.avro import (
    EMPTY,
    NULL,
    SOME,
    double,
    doubles,
    header,
    long,
    optional_double,
    optional_doubles,
    optional_text,
    optional_texts,
    repeated_text,
    text,
)

PREDICTION: Final = 1
FEEDBACK: Final = 2
GENERATION: Final = 3
"""Kinds of records in the spool."""
TOPICS: Final = {
    PREDICTION: PredictionLogged.TOPIC,
    FEEDBACK: FeedbackReceived.TOPIC,
    GENERATION: GenerationLogged.TOPIC,
}
STATUS: Final = {status: long(place) for place, status in enumerate(PredictionStatus)}
_PREDICTION_HEADER: Final = header(PredictionLogged.TOPIC) + long(36)
"""Includes the length of the event id."""
_FEEDBACK_HEADER: Final = header(FeedbackReceived.TOPIC)
_NOT_SHADOW: Final = NULL
_SAMPLED: Final = b"\x01"
_ONE: Final = b"\x02"
_THREE_DOUBLES: Final = struct.Struct("<ddd").pack
NO_TOKENS: Final = NULL + NULL
CHARGED: Final = frozenset({PredictionStatus.OK, PredictionStatus.UPSTREAM_ERROR, PredictionStatus.TIMEOUT})
"""Outcomes of an attempt that reached the version, so that its price is due."""


class Outcome(NamedTuple):
    """How a request ended, as far as it is the same for all its rows."""

    status: PredictionStatus
    rule: str
    attempts: bytes
    """The encoded array of attempts, see `single_attempt` and `encode_attempts`."""
    entity_key_hash: str | None
    latency_ms: float
    overhead_ms: float
    cost_usd: float
    """Of all attempts of one row."""
    shadow_of: str | None = None
    votes: bytes = EMPTY
    """The encoded array of votes of one row, see `encode_votes`."""


OutcomeFields = tuple[PredictionStatus, str, bytes, str | None, float, float, float, str | None, bytes]
"""The fields of an Outcome: a plain tuple is made faster."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a version."""

    leaf: Any
    """The leaf that was called."""
    status: PredictionStatus
    latency_ms: float


class PredictionRecords:
    """Encodes PredictionLogged for one leaf of one route table."""

    def __init__(
        self,
        *,
        model: str,
        version: int,
        digest: str,
        route: str,
        sequence: int,
        variant: str,
        feature_schema_id: str,
        cost_usd: float,
        path: str = "",
        workspace: str = "default",
        drawn: float = 0.0,
    ) -> None:
        """drawn: weight with which the leaf is drawn to answer for an adaptive model; its answer is a vote, too."""
        self._target = b"".join(
            (text(workspace), text(model), long(version), text(digest), text(route), long(sequence), text(variant))
        )
        self._path = text(path)
        self._schema_id = optional_text(feature_schema_id)
        self._ends = {status: NO_TOKENS + double(cost_usd if status in CHARGED else 0.0) for status in PredictionStatus}
        self._attempt = b"".join((text(path), text(model), long(version), text(digest)))
        self._drawn = _ONE + self._attempt + double(drawn) if drawn else None
        self._single = {status: _ONE + self._attempt + STATUS[status] for status in PredictionStatus}

    def encode(
        self,
        event_id: str,
        occurred_us: int,
        prediction_id: str,
        values: tuple[tuple[float | None, ...], tuple[str | None, ...], int | None],
        answer: Answer,
        outcome: OutcomeFields,
    ) -> bytes:
        """event_id: a UUID as text. occurred_us: microseconds since 1970. values: numbers, words, text length."""
        numbers, words, text_length = values
        class_, score, scores, _, _ = answer
        status, rule, attempts, entity_key_hash, latency_ms, overhead_ms, cost_usd, shadow_of, votes = outcome
        return b"".join(
            (
                _PREDICTION_HEADER,
                event_id.encode(),
                long(occurred_us),
                text(prediction_id),
                self._target,
                repeated_text(rule),
                self._path,
                optional_text(entity_key_hash),
                self._schema_id,
                optional_doubles(numbers),
                optional_texts(words) if words else EMPTY,
                EMPTY,  # features by name
                repeated_text(class_),
                optional_double(score),
                doubles(scores),
                NULL if text_length is None else SOME + long(text_length),
                _THREE_DOUBLES(latency_ms, overhead_ms, cost_usd),
                STATUS[status],
                attempts,
                _NOT_SHADOW if shadow_of is None else optional_text(shadow_of),
                _SAMPLED,
                votes if self._drawn is None else self._drawn_vote(class_, score),
            )
        )

    def _drawn_vote(self, class_: str | None, score: float | None) -> bytes:
        """The array with the one vote of a drawn leaf; empty without an answer."""
        if score is None or self._drawn is None:
            return EMPTY
        return self._drawn + repeated_text(class_) + optional_double(score) + EMPTY

    def single_attempt(self, status: PredictionStatus, latency_ms: float) -> bytes:
        """The array of attempts of a request that this version answered at once."""
        return self._single[status] + double(latency_ms) + self._ends[status] + EMPTY

    def vote(self, weight: float, class_: str | None, score: float | None) -> bytes:
        """One item of the array of votes."""
        return self._attempt + double(weight) + repeated_text(class_) + optional_double(score)

    def attempt(self, status: PredictionStatus, latency_ms: float) -> bytes:
        """One item of the array of attempts."""
        return self._attempt + STATUS[status] + double(latency_ms) + self._ends[status]


def encode_attempts(attempts: Sequence[Attempt]) -> bytes:
    """The array of all attempts, in order."""
    if not attempts:
        return EMPTY
    items = [attempt.leaf.records.attempt(attempt.status, attempt.latency_ms) for attempt in attempts]
    return long(len(items)) + b"".join(items) + EMPTY


def encode_feedback(
    event_id: str,
    occurred_us: int,
    prediction_id: str,
    label: str | None,
    value: float | None,
    source: str,
    workspace: str = "default",
    model: str | None = None,
) -> bytes:
    """FeedbackReceived without a cause."""
    return b"".join(
        (
            _FEEDBACK_HEADER,
            text(event_id),
            long(occurred_us),
            NULL,
            text(prediction_id),
            text(workspace),
            optional_text(label),
            optional_double(value),
            text(source),
            optional_text(model),
        )
    )
