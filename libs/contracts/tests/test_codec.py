"""What the codec takes, and what it refuses with which reason."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelyard_contracts import FeedbackReceived, PredictionLogged, TrainingRunRequested
from modelyard_contracts.codec import Codec, Undecodable, UnknownSchemaId, schema_fingerprint
from modelyard_contracts.topics import schema_text

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def feedback(**fields: object) -> FeedbackReceived:
    return FeedbackReceived.model_validate(
        {"event_id": uuid4(), "occurred_at": NOON, "prediction_id": "p-1", "label": "UP", **fields}
    )


class Registry:
    """A schema registry that knows one more schema, and counts how often it is asked."""

    def __init__(self, text: str) -> None:
        self._text, self.asked = text, 0

    def by_id(self, schema_id: int) -> str | None:
        self.asked += 1
        return self._text if schema_id == 9_000 else None

    def by_fingerprint(self, hexadecimal: str) -> str | None:
        self.asked += 1
        return self._text if bytes.fromhex(hexadecimal) == schema_fingerprint(self._text) else None


def test_both_framings_say_the_same() -> None:
    codec, sent = Codec(), feedback()
    assert codec.encode(sent)[:1] == b"\x00"
    assert codec.encode_single_object(sent)[:2] == b"\xc3\x01"
    assert codec.decode(codec.encode(sent), FeedbackReceived) == sent
    assert codec.decode(codec.encode_single_object(sent), FeedbackReceived) == sent


def test_the_fingerprint_is_the_specification_s() -> None:
    assert schema_fingerprint('"null"').hex() == "8a8f25cce724dd63"


@given(st.integers(min_value=0, max_value=400))
def test_a_message_cut_anywhere_is_refused(cut: int) -> None:
    data = Codec().encode(feedback())
    with pytest.raises(Undecodable):
        Codec().decode(data[: cut % len(data)], FeedbackReceived)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(data: bytes) -> None:
    with pytest.raises(Undecodable):
        Codec().decode(b"\x00\x00\x00\x00\x02" + b"\x01" + data, FeedbackReceived)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "tombstone"),
        (b"", "neither Confluent framing"),
        (b'{"json": 1}', "neither Confluent framing"),
        (b"\x00\x00\x00", "neither Confluent framing"),
        (Codec().encode(feedback()) + b"x", "1 trailing bytes after"),
    ],
    ids=["tombstone", "empty", "json", "cut header", "trailing byte"],
)
def test_bad_bytes_are_refused_with_the_reason(data: bytes | None, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        Codec().decode(data, FeedbackReceived)


def test_a_message_of_another_topic_is_refused_by_name() -> None:
    with pytest.raises(Undecodable, match=r"holds a modelyard.serving.v1.FeedbackReceived, not a .*PredictionLogged"):
        Codec().decode(Codec().encode(feedback()), PredictionLogged)


def test_a_field_that_breaks_the_class_is_named() -> None:
    data = Codec().encode(feedback().model_copy(update={"event_id": "not-a-uuid"}))
    with pytest.raises(Undecodable, match="field event_id"):
        Codec().decode(data, FeedbackReceived)


def test_an_unknown_schema_is_asked_for_once() -> None:
    registry = Registry(schema_text(FeedbackReceived.TOPIC))
    codec, sent = Codec(registry), feedback()
    data = b"\x00" + (9_000).to_bytes(4, "big") + Codec().encode(sent)[5:]
    assert codec.decode(data, FeedbackReceived) == codec.decode(data, FeedbackReceived) == sent
    assert registry.asked == 1


def test_a_schema_nobody_knows_is_refused() -> None:
    for codec in (Codec(), Codec(Registry(schema_text(FeedbackReceived.TOPIC)))):
        with pytest.raises(UnknownSchemaId, match="schema id 9999"):
            codec.decode(b"\x00" + (9_999).to_bytes(4, "big") + b"x", FeedbackReceived)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs its zone"):
        feedback(occurred_at=datetime(2026, 11, 20, 12))


def test_a_moment_in_another_zone_is_kept_as_utc() -> None:
    sent = feedback(occurred_at=NOON.astimezone(timezone(timedelta(hours=8))))
    assert Codec().decode(Codec().encode(sent), FeedbackReceived).occurred_at == NOON


def test_an_event_follows_its_cause() -> None:
    cause = TrainingRunRequested(
        event_id=uuid4(), occurred_at=NOON, correlation_id=UUID(int=7), model="m", requested_by="ana", reason="new data"
    )
    after = TrainingRunRequested.following(cause, occurred_at=NOON, requested_by="bo", reason="again")
    assert (after.correlation_id, after.cause_id, after.model) == (UUID(int=7), cause.event_id, "m")
    assert after.event_id != cause.event_id
