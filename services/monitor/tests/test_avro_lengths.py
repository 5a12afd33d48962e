"""Lengths computed from columns are those of Avro writers."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fastavro
import numpy as np
import pyruhvro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_contracts import Attempt, FeedbackReceived, PredictionLogged, PredictionStatus, Vote
from modelyard_contracts.codec import encode
from modelyard_contracts.topics import avro_schema, schema_text
from modelyard_monitor.ingest.avro_lengths import UnknownAvroType, avro_lengths, varint_lengths
from modelyard_monitor.testing.samples import label, prediction

EDGES = [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("value", EDGES)
def test_integers_take_as_many_bytes_as_fastavro_writes(value: int) -> None:
    out = BytesIO()
    fastavro.schemaless_writer(out, {"type": "long"}, value)
    assert varint_lengths(np.array([value])).tolist() == [len(out.getvalue())]
    assert varint_lengths(np.array([0, value])).tolist()[1] == len(out.getvalue())


texts = st.text(max_size=80)
attempts = st.builds(
    Attempt,
    path=texts,
    model=texts,
    version=st.integers(0, 2**31 - 1),
    digest=texts,
    status=st.sampled_from(PredictionStatus),
    latency_ms=st.floats(0, 1e9),
    input_tokens=st.none() | st.integers(0, 2**40),
)
votes = st.builds(
    Vote,
    path=texts,
    model=texts,
    version=st.integers(1, 2**31 - 1),
    digest=texts,
    weight=st.floats(0, 1),
    class_=st.none() | texts,
    score=st.none() | st.floats(allow_nan=False),
)
predictions = st.builds(
    lambda **given: prediction(0, **given),
    prediction_id=texts,
    workspace=texts,
    rule=st.none() | texts,
    model_version=st.integers(0, 2**31 - 1),
    num_features=st.lists(st.none() | st.floats(), max_size=70).map(tuple),
    cat_features=st.lists(st.none() | texts, max_size=5).map(tuple),
    features_by_name=st.dictionaries(texts, st.floats(), max_size=5),
    scores=st.lists(st.floats(allow_nan=False), max_size=5).map(tuple),
    attempts=st.lists(attempts, max_size=3).map(tuple),
    votes=st.lists(votes, max_size=3).map(tuple),
    text_length=st.none() | st.integers(0, 2**40),
    occurred_at=st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
)


def lengths_of(topic: str, values: list[bytes]) -> tuple[list[int], list[int]]:
    bodies = [value[5:] for value in values]
    columns = pyruhvro.deserialize_array(bodies, schema_text(topic))
    schema = fastavro.parse_schema(avro_schema(topic))
    half = len(bodies) // 2
    whole = avro_lengths(columns, schema).tolist()
    assert avro_lengths(columns.slice(half), schema).tolist() == whole[half:]
    return whole, list(map(len, bodies))


@settings(max_examples=60, deadline=None)
@given(st.lists(predictions, min_size=1, max_size=8))
def test_lengths_of_predictions_are_those_of_their_encoding(sent: list[Any]) -> None:
    computed, given_ = lengths_of(PredictionLogged.TOPIC, [encode(one) for one in sent])
    assert computed == given_


def test_lengths_of_labels_are_those_of_their_encoding() -> None:
    sent = [label(0), label(1, None, value=0.5), label(2, "x" * 300)]
    computed, given_ = lengths_of(FeedbackReceived.TOPIC, [encode(one) for one in sent])
    assert computed == given_


def test_the_length_of_an_unknown_type_is_an_error() -> None:
    import pyarrow as pa

    columns = pa.RecordBatch.from_pydict({"a": [b"1234"]})
    fixed = {
        "type": "record",
        "name": "r",
        "fields": [{"name": "a", "type": {"type": "fixed", "size": 4, "name": "f"}}],
    }
    with pytest.raises(UnknownAvroType):
        avro_lengths(columns, fixed)
