"""The records that the router writes, encoded from values straight to bytes.

A pydantic message per request would cost more than the rest of the request; the fields that are constant for a target
are encoded once, with its table. The bytes equal those of modelyard_contracts.codec.
"""

import struct
from collections.abc import Sequence
from typing import Final

from modelyard_contracts import FeedbackReceived, PredictionLogged, PredictionStatus
from modelyard_router.domain.avro import (
    EMPTY,
    NULL,
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
"""Kinds of records in the spool."""
STATUS: Final = {status: long(place) for place, status in enumerate(PredictionStatus)}
_PREDICTION_HEADER: Final = header(PredictionLogged.TOPIC) + long(36)
"""Includes the length of the event id."""
_FEEDBACK_HEADER: Final = header(FeedbackReceived.TOPIC)
_END: Final = NULL + b"\x01"
"""shadow_of: none; sampled: true."""
_TWO_DOUBLES: Final = struct.Struct("<dd").pack


class PredictionRecords:
    """Encodes PredictionLogged for one target of one table."""

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
        workspace: str = "default",
    ) -> None:
        self._target = b"".join(
            (text(workspace), text(model), long(version), text(digest), text(route), long(sequence), text(variant))
        )
        self._attempt = b"".join((text(""), text(model), long(version), text(digest)))
        self._schema_id = optional_text(feature_schema_id)
        self._cost = double(cost_usd)
        self._outcomes: dict[tuple[str, int], bytes] = {}

    def encode(
        self,
        event_id: str,
        occurred_us: int,
        prediction_id: str,
        numbers: tuple[float | None, ...],
        words: tuple[str | None, ...],
        answer: tuple[str | None, float | None, Sequence[float]],
        ms: tuple[float, float],
        how: tuple[PredictionStatus, int, str | None, str | None],
    ) -> bytes:
        """event_id: a UUID as text. occurred_us: microseconds since 1970. answer: class, score, scores.

        ms: latency and the router's share of it. how: status, attempts, rule, hash of the entity key.
        """
        class_, score, scores = answer
        status, attempts, rule, entity_key_hash = how
        return b"".join(
            (
                _PREDICTION_HEADER,
                event_id.encode(),
                long(occurred_us),
                text(prediction_id),
                self._target,
                repeated_text(rule),
                EMPTY,  # path
                optional_text(entity_key_hash),
                self._schema_id,
                optional_doubles(numbers),
                optional_texts(words) if words else EMPTY,
                EMPTY,  # named features: none
                repeated_text(class_),
                optional_double(score),
                doubles(scores),
                NULL,  # text_length
                _TWO_DOUBLES(*ms),
                self._outcomes.get((status.value, attempts)) or self._outcome(status, attempts),
            )
        )

    def _outcome(self, status: PredictionStatus, attempts: int) -> bytes:
        """Cost, status, attempts and the remaining fields: the same bytes for nearly all records."""
        one = self._attempt + STATUS[status] + double(0.0) + NULL + NULL + self._cost
        listed = long(attempts) + one * attempts + EMPTY if attempts else EMPTY
        end = self._outcomes[status.value, attempts] = self._cost + STATUS[status] + listed + _END
        return end


def encode_feedback(
    event_id: str,
    occurred_us: int,
    prediction_id: str,
    label: str | None,
    value: float | None,
    source: str,
    workspace: str = "default",
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
        )
    )
