"""The two records that the router writes, from values straight to bytes.

A pydantic message per request would cost more than the whole rest of the request; the fields that are fixed for a
target are encoded once, with its table. The result equals modelyard_contracts.codec's, byte for byte.
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

STATUS: Final = {status: long(place) for place, status in enumerate(PredictionStatus)}
_PREDICTION_HEADER: Final = header(PredictionLogged.TOPIC) + long(36)
"""With the length of the event id."""
_FEEDBACK_HEADER: Final = header(FeedbackReceived.TOPIC)
_END: Final = NULL + b"\x01"
"""shadow_of: none; sampled: true."""
_TWO_DOUBLES: Final = struct.Struct("<dd").pack


class PredictionRecords:
    """Writes PredictionLogged of one target of one table."""

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
        said: tuple[str | None, float | None, Sequence[float]],
        ms: tuple[float, float],
        how: tuple[PredictionStatus, int, str | None, str | None],
    ) -> bytes:
        """event_id: a UUID in its text form. occurred_us: microseconds since 1970. said: class, score, scores.

        ms: latency, the router's share. how: status, attempts, rule, hash of the entity key.
        """
        class_, score, scores = said
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
        """Cost, status, attempts and the end: the same for nearly all records."""
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
    """A FeedbackReceived without a cause."""
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
