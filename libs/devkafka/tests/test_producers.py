"""Idempotence and transactions, request by request."""

from pathlib import Path

import pytest

from modelyard_devkafka import DevKafka
from modelyard_devkafka.errors import Code
from modelyard_devkafka.testing import RawClient, record_batch
from modelyard_devkafka.wire.group_apis import OFFSET_FETCH
from modelyard_devkafka.wire.schema import Message
from modelyard_devkafka.wire.transaction_apis import (
    ADD_OFFSETS_TO_TXN,
    ADD_PARTITIONS_TO_TXN,
    END_TXN,
    INIT_PRODUCER_ID,
    TXN_OFFSET_COMMIT,
)
from modelyard_devstack.testing import wait_until


def start(client: RawClient, transactional_id: str | None = None, timeout_ms: int = 60_000) -> tuple[int, int]:
    reply = client.ask(INIT_PRODUCER_ID, 1, transactional_id=transactional_id, transaction_timeout_ms=timeout_ms)
    assert reply["error_code"] == 0
    return reply["producer_id"], reply["producer_epoch"]


def who(transactional_id: str, producer: tuple[int, int]) -> Message:
    return {"transactional_id": transactional_id, "producer_id": producer[0], "producer_epoch": producer[1]}


def add(client: RawClient, transactional_id: str, producer: tuple[int, int], topic: str = "t") -> int:
    topics = [{"name": topic, "partitions": [0]}]
    reply = client.ask(ADD_PARTITIONS_TO_TXN, 2, **who(transactional_id, producer), topics=topics)
    return int(reply["topics"][0]["partitions"][0]["error_code"])


def end(client: RawClient, transactional_id: str, producer: tuple[int, int], *, committed: bool) -> int:
    return int(client.ask(END_TXN, 2, **who(transactional_id, producer), committed=committed)["error_code"])


def write(client: RawClient, producer: tuple[int, int], sequence: int, *values: bytes) -> int:
    batch = record_batch(values or [b"v"], producer=producer, sequence=sequence, transactional=True)
    return int(client.produce("t", batch, transactional_id="tx")["error_code"])


def commit_offset(client: RawClient, transactional_id: str, producer: tuple[int, int], group: str, offset: int) -> int:
    item = {"index": 0, "committed_offset": offset, "committed_leader_epoch": -1, "committed_metadata": ""}
    reply = client.ask(
        TXN_OFFSET_COMMIT, 3, **who(transactional_id, producer), group_id=group, generation_id=-1, member_id="",
        topics=[{"name": "t", "partitions": [item]}],
    )  # fmt: skip
    return int(reply["topics"][0]["partitions"][0]["error_code"])


def fetched_offset(client: RawClient, group: str, *, stable: bool = False) -> tuple[int, int]:
    topics = [{"name": "t", "partitions": [0]}]
    [item] = client.ask(OFFSET_FETCH, 7, group_id=group, topics=topics, require_stable=stable)["topics"][0][
        "partitions"
    ]
    return item["error_code"], item["committed_offset"]


@pytest.fixture(autouse=True)
def topic(client: RawClient) -> None:
    assert client.create_topic("t") == 0


def test_a_retry_of_any_of_the_last_five_batches_gives_its_original_offset(client: RawClient) -> None:
    producer = start(client)
    sent = [record_batch([b"a", b"b"], producer=producer, sequence=2 * n) for n in range(8)]
    assert [client.produce("t", batch)["base_offset"] for batch in sent] == [0, 2, 4, 6, 8, 10, 12, 14]
    retried = [client.produce("t", batch) for batch in sent]
    assert [(r["error_code"], r["base_offset"]) for r in retried[3:]] == [(0, 6), (0, 8), (0, 10), (0, 12), (0, 14)]
    assert {r["error_code"] for r in retried[:3]} == {Code.OUT_OF_ORDER_SEQUENCE_NUMBER}
    assert client.fetch("t", 0)["high_watermark"] == 16


def test_retries_are_recognised_after_a_restart(kafka: DevKafka, client: RawClient, tmp_path: Path) -> None:
    producer = start(client)
    batch = record_batch([b"a"], producer=producer, sequence=0)
    client.produce("t", record_batch([b"first"]))
    client.produce("t", batch)
    kafka.stop()
    with DevKafka(tmp_path / "data") as again, RawClient(again.bootstrap) as retrying:
        assert retrying.produce("t", batch)["base_offset"] == 1
        gap = record_batch([b"c"], producer=producer, sequence=2)
        assert retrying.produce("t", gap)["error_code"] == Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert start(retrying)[0] > producer[0], "producer ids are never given twice"


def test_sequences_wrap(client: RawClient) -> None:
    producer, last = start(client), 2**31 - 1
    assert client.produce("t", record_batch([b"a"], producer=producer, sequence=last))["error_code"] == 0
    assert client.produce("t", record_batch([b"b"], producer=producer, sequence=0))["base_offset"] == 1


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda b: b[:-1] + bytes([b[-1] ^ 1]), Code.CORRUPT_MESSAGE),
        (lambda b: b[:40], Code.CORRUPT_MESSAGE),
        (lambda b: b + b, Code.INVALID_RECORD),
        (lambda b: b[:16] + b"\1" + b[17:], Code.INVALID_RECORD),
        (lambda b: record_batch([b"x" * 1_100_000]), Code.MESSAGE_TOO_LARGE),
    ],
    ids=["crc", "short", "two batches", "old format", "too large"],
)
def test_a_bad_batch_is_refused_and_nothing_is_written(client: RawClient, spoil: object, code: Code) -> None:
    assert callable(spoil)
    answer = client.produce("t", spoil(record_batch([b"abc"])))
    assert (answer["error_code"], answer["base_offset"]) == (code, -1)
    assert client.fetch("t", 0)["high_watermark"] == 0


def test_read_committed_sees_a_transaction_only_when_it_is_committed(client: RawClient) -> None:
    producer = start(client, "tx")
    add(client, "tx", producer)
    assert write(client, producer, 0) == 0
    client.produce("t", record_batch([b"after"]))
    before = client.fetch("t", 0, committed=True)
    assert (before["records"], before["last_stable_offset"], before["high_watermark"]) == (b"", 0, 2)
    assert end(client, "tx", producer, committed=True) == 0
    after = client.fetch("t", 0, committed=True)
    assert (after["last_stable_offset"], after["aborted_transactions"]) == (3, [])


def test_aborted_transactions_are_listed_for_exactly_the_range_they_are_in(client: RawClient) -> None:
    for number in range(3):
        producer = start(client, f"tx{number}")
        add(client, f"tx{number}", producer)
        write(client, producer, 0)
        end(client, f"tx{number}", producer, committed=False)
    aborted = client.fetch("t", 0, committed=True)["aborted_transactions"]
    assert [item["first_offset"] for item in aborted] == [0, 2, 4]
    later = client.fetch("t", 4, committed=True)["aborted_transactions"]
    assert [item["first_offset"] for item in later] == [4]


def test_a_new_session_fences_the_old_one_and_aborts_its_work(client: RawClient) -> None:
    old = start(client, "tx")
    add(client, "tx", old)
    write(client, old, 0)
    new = start(client, "tx")
    assert new[0] == old[0] and new[1] > old[1]
    assert write(client, old, 1) == Code.INVALID_PRODUCER_EPOCH
    assert add(client, "tx", old) == Code.PRODUCER_FENCED
    assert end(client, "tx", old, committed=True) == Code.PRODUCER_FENCED
    assert len(client.fetch("t", 0, committed=True)["aborted_transactions"]) == 1


def test_a_transactional_batch_names_its_transaction(client: RawClient) -> None:
    producer = start(client, "tx")
    add(client, "tx", producer)
    batch = record_batch([b"v"], producer=producer, sequence=0, transactional=True)
    assert client.produce("t", batch)["error_code"] == Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_a_batch_outside_of_a_transaction_is_refused(client: RawClient) -> None:
    producer = start(client, "tx")
    assert write(client, producer, 0) == Code.INVALID_TXN_STATE
    assert end(client, "tx", producer, committed=True) == Code.INVALID_TXN_STATE


def test_a_repeated_end_is_answered_as_the_first(client: RawClient) -> None:
    producer = start(client, "tx")
    add(client, "tx", producer)
    assert end(client, "tx", producer, committed=True) == 0
    assert end(client, "tx", producer, committed=True) == 0
    assert end(client, "tx", producer, committed=False) == Code.INVALID_TXN_STATE
    assert client.fetch("t", 0)["high_watermark"] == 1, "one marker"


def test_a_transaction_beyond_its_timeout_is_aborted(client: RawClient) -> None:
    producer = start(client, "tx", timeout_ms=200)
    add(client, "tx", producer)
    write(client, producer, 0)
    wait_until(lambda: client.fetch("t", 0, committed=True)["last_stable_offset"] == 2, 20)
    assert end(client, "tx", producer, committed=True) == Code.PRODUCER_FENCED


def test_offsets_of_a_transaction_count_when_it_is_committed(client: RawClient) -> None:
    producer = start(client, "tx")
    assert client.ask(ADD_OFFSETS_TO_TXN, 2, **who("tx", producer), group_id="g")["error_code"] == 0
    assert commit_offset(client, "tx", producer, "g", 5) == 0
    assert fetched_offset(client, "g") == (0, -1)
    assert fetched_offset(client, "g", stable=True) == (Code.UNSTABLE_OFFSET_COMMIT, -1)
    end(client, "tx", producer, committed=True)
    assert fetched_offset(client, "g", stable=True) == (0, 5)
    client.ask(ADD_OFFSETS_TO_TXN, 2, **who("tx", producer), group_id="g")
    commit_offset(client, "tx", producer, "g", 9)
    end(client, "tx", producer, committed=False)
    assert fetched_offset(client, "g", stable=True) == (0, 5)


def test_an_open_transaction_survives_a_restart(kafka: DevKafka, client: RawClient, tmp_path: Path) -> None:
    producer = start(client, "tx")
    add(client, "tx", producer)
    write(client, producer, 0)
    client.ask(ADD_OFFSETS_TO_TXN, 2, **who("tx", producer), group_id="g")
    commit_offset(client, "tx", producer, "g", 5)
    kafka.stop()
    with DevKafka(tmp_path / "data") as again, RawClient(again.bootstrap) as other:
        assert other.fetch("t", 0, committed=True)["last_stable_offset"] == 0
        assert fetched_offset(other, "g", stable=True) == (Code.UNSTABLE_OFFSET_COMMIT, -1)
        assert write(other, producer, 1) == 0
        assert end(other, "tx", producer, committed=True) == 0
        assert other.fetch("t", 0, committed=True)["last_stable_offset"] == 3
        assert fetched_offset(other, "g") == (0, 5)


def test_an_unknown_partition_takes_the_others_with_it(client: RawClient) -> None:
    producer = start(client, "tx")
    topics = [{"name": "t", "partitions": [0, 7]}]
    reply = client.ask(ADD_PARTITIONS_TO_TXN, 2, **who("tx", producer), topics=topics)
    codes = {item["index"]: item["error_code"] for item in reply["topics"][0]["partitions"]}
    assert codes == {0: Code.OPERATION_NOT_ATTEMPTED, 7: Code.UNKNOWN_TOPIC_OR_PARTITION}


def test_a_transaction_timeout_out_of_range_is_refused(client: RawClient) -> None:
    for timeout_ms in (0, 900_001):
        reply = client.ask(INIT_PRODUCER_ID, 1, transactional_id="tx", transaction_timeout_ms=timeout_ms)
        assert reply["error_code"] == Code.INVALID_TRANSACTION_TIMEOUT
