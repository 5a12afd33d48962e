"""The hand-written encoders give the same bytes as the codec of the contracts."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts import FeedbackReceived, PredictionLogged, PredictionStatus
from modelyard_contracts.codec import encode
from modelyard_contracts.inference import Answer
from modelyard_contracts.messages.serving import Attempt as LoggedAttempt
from modelyard_contracts.messages.serving import Vote as LoggedVote
from modelyard_router.domain.avro import long
from modelyard_router.domain.records import Attempt, Outcome, PredictionRecords, encode_attempts, encode_feedback
from modelyard_router.domain.votes import Vote, encode_votes
from modelyard_router.spool.partition import murmur2, partition_of, partitions_of
from modelyard_router.spool.record_batch import RecordBatch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXT = st.text(max_size=200)
FLOAT = st.floats(allow_nan=False)
MICROSECONDS = st.integers(0, 4_000_000_000_000_000)


def moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
ATTEMPTS = st.lists(st.tuples(st.sampled_from(PredictionStatus), FINITE), max_size=4)


def records(path: str, version: int) -> PredictionRecords:
    return PredictionRecords(
        model="elec",
        version=version,
        digest="sha256:1",
        route="the-route",
        sequence=version,
        variant="canary",
        feature_schema_id="fs-1",
        cost_usd=0.25,
        path=path,
        workspace="acme",
    )


@given(
    st.uuids(),
    MICROSECONDS,
    TEXT,
    st.lists(st.none() | FLOAT, max_size=80),
    st.lists(st.none() | TEXT, max_size=70),
    st.none() | TEXT,
    st.none() | FLOAT,
    st.lists(FLOAT, max_size=70),
    st.sampled_from(PredictionStatus),
    st.integers(0, 2**31 - 1),
    ATTEMPTS,
)
def test_a_prediction_has_the_codecs_bytes(
    event_id: UUID,
    us: int,
    word: str,
    numbers: list[Any],
    texts: list[Any],
    optional: Any,
    score: Any,
    scores: list[float],
    status: PredictionStatus,
    version: int,
    attempts: list[tuple[PredictionStatus, float]],
) -> None:
    written = records(word, version)
    leaf: Any = SimpleNamespace(records=written, cost_usd=0.25)
    length = None if optional is None else version
    outcome = Outcome(
        status,
        word,
        encode_attempts([Attempt(leaf, one, latency_ms) for one, latency_ms in attempts]),
        optional,
        1.5,
        0.5,
        0.75,
        optional,
        encode_votes([Vote(leaf, weight, [Answer(optional, weight)]) for _, weight in attempts], 0),
    )
    values = tuple(numbers), tuple(texts), length
    body = written.encode(str(event_id), us, word, values, Answer(optional, score, tuple(scores)), outcome)
    message = PredictionLogged(
        event_id=event_id,
        occurred_at=moment(us),
        prediction_id=word,
        workspace="acme",
        model="elec",
        model_version=version,
        model_digest="sha256:1",
        route="the-route",
        route_sequence=version,
        variant="canary",
        rule=word,
        path=word,
        entity_key_hash=optional,
        feature_schema_id="fs-1",
        num_features=tuple(numbers),
        cat_features=tuple(texts),
        class_=optional,
        score=score,
        scores=tuple(scores),
        text_length=length,
        latency_ms=1.5,
        overhead_ms=0.5,
        cost_usd=0.75,
        status=status,
        attempts=tuple(logged_attempt(word, version, one, latency_ms) for one, latency_ms in attempts),
        shadow_of=optional,
        votes=tuple(logged_vote(word, version, weight, optional) for _, weight in attempts),
    )
    assert body == encode(message)


def logged_vote(path: str, version: int, weight: float, class_: str | None) -> LoggedVote:
    return LoggedVote(
        path=path, model="elec", version=version, digest="sha256:1", weight=weight, class_=class_, score=weight
    )


def logged_attempt(path: str, version: int, status: PredictionStatus, latency_ms: float) -> LoggedAttempt:
    charged = status not in (PredictionStatus.UNAVAILABLE, PredictionStatus.REJECTED)
    return LoggedAttempt(
        path=path,
        model="elec",
        version=version,
        digest="sha256:1",
        status=status,
        latency_ms=latency_ms,
        cost_usd=0.25 if charged else 0.0,
    )


@given(st.sampled_from(PredictionStatus), FLOAT, TEXT, st.integers(0, 2**31 - 1))
def test_a_single_attempt_has_the_bytes_of_a_list_of_one(
    status: PredictionStatus, latency_ms: float, path: str, version: int
) -> None:
    written = records(path, version)
    leaf = SimpleNamespace(records=written, cost_usd=0.25)
    assert written.single_attempt(status, latency_ms) == encode_attempts([Attempt(leaf, status, latency_ms)])


@given(st.uuids(), MICROSECONDS, TEXT, st.none() | TEXT, st.none() | FLOAT, st.sampled_from([None, "churn", "acme:m"]))
def test_feedback_has_the_codecs_bytes(
    event_id: UUID, us: int, words: str, label: Any, value: Any, model: str | None
) -> None:
    truth: dict[str, Any] = {"label": label, "value": value, "source": "api", "model": model}
    message = FeedbackReceived(event_id=event_id, occurred_at=moment(us), prediction_id=words, **truth)
    encoded = encode_feedback(str(event_id), us, words, label, value, "api", message.workspace, model)
    assert encoded == encode(message)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_long_is_avros(value: int) -> None:
    from io import BytesIO

    import fastavro

    out = BytesIO()
    fastavro.schemaless_writer(out, {"type": "long"}, value)
    assert long(value) == out.getvalue()


@given(st.binary(max_size=60), st.integers(1, 64))
def test_partitions_are_those_of_kafkas_default_partitioner(key: bytes, partitions: int) -> None:
    from aiokafka.partitioner import DefaultPartitioner
    from aiokafka.partitioner import murmur2 as theirs

    assert murmur2(key) & 0x7FFFFFFF == theirs(key) & 0x7FFFFFFF
    places = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, places, places)


@given(st.lists(st.binary(max_size=40) | st.binary(min_size=36, max_size=36), max_size=60), st.integers(1, 50))
def test_partitions_of_many_keys_are_those_of_each(keys: list[bytes], partitions: int) -> None:
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]


@given(
    st.lists(
        st.tuples(st.binary(max_size=50), st.binary(max_size=20_000), st.sampled_from([b"", b"t" * 55])), min_size=1
    )
)
def test_aiokafka_reads_our_record_batches(records: list[tuple[bytes, bytes, bytes]]) -> None:
    from aiokafka.record.memory_records import MemoryRecords

    batch = RecordBatch(10_000_000, 1_700_000_000_123)
    assert all(batch.append(*record) for record in records)
    batch.set_producer(7, 2, 30)
    theirs = MemoryRecords(batch.encoded()).next_batch()
    assert theirs is not None and theirs.validate_crc() and theirs.is_transactional
    assert (theirs.producer_id, theirs.producer_epoch, theirs.base_sequence) == (7, 2, 30)
    assert [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in theirs] == [
        (place, 1_700_000_000_123, key, value, [("traceparent", trace)] if trace else [])
        for place, (key, value, trace) in enumerate(records)
    ]


def test_a_batch_that_is_full_takes_no_more_but_always_one() -> None:
    batch = RecordBatch(1_000, 0)
    assert batch.append(b"k", b"v" * 5_000, b"")
    assert not batch.append(b"k", b"v", b"")
    assert batch.record_count() == 1
