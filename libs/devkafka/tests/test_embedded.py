"""The broker in the test's process, and fault injection."""

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from modelyard_devkafka import AddressUnusable, DataFolderUnusable, DevKafka
from modelyard_devkafka.errors import Code
from modelyard_devkafka.handlers.table import TABLE
from modelyard_devkafka.testing import ConnectionLost, RawClient, record_batch
from modelyard_devkafka.wire.data_apis import FETCH, METADATA, PRODUCE


def test_its_data_is_there_for_the_next_one(tmp_path: Path) -> None:
    for expected in range(3):
        with DevKafka(tmp_path) as kafka, RawClient(kafka.bootstrap) as raw:
            raw.create_topic("t")
            assert raw.produce("t", record_batch([b"x"]))["base_offset"] == expected


def test_a_failed_start_raises(tmp_path: Path) -> None:
    with DevKafka(tmp_path / "one") as kafka:
        with pytest.raises(DataFolderUnusable):
            DevKafka(tmp_path / "one").__enter__()
        with pytest.raises(AddressUnusable):
            DevKafka(tmp_path / "two", port=kafka.broker.port).__enter__()
    with DevKafka(tmp_path / "two"):
        pass


def test_a_dropped_request_has_no_effect_and_a_dropped_answer_has(kafka: DevKafka, client: RawClient) -> None:
    client.create_topic("t")
    for after, end in ((False, 0), (True, 1)):
        kafka.faults.drop(PRODUCE.key, after=after)
        with RawClient(kafka.bootstrap) as victim, pytest.raises(ConnectionLost):
            victim.produce("t", record_batch([b"x"]))
        assert client.fetch("t", 0)["high_watermark"] == end


def test_an_error_is_answered_as_often_as_asked_for(kafka: DevKafka, client: RawClient) -> None:
    client.create_topic("t")
    kafka.faults.fail(PRODUCE.key, Code.KAFKA_STORAGE_ERROR, times=2)
    codes = [client.produce("t", record_batch([b"x"]))["error_code"] for _ in range(3)]
    assert codes == [Code.KAFKA_STORAGE_ERROR] * 2 + [Code.NONE]


@pytest.mark.parametrize("key", sorted(TABLE), ids=lambda key: TABLE[key][0].name)
def test_every_api_has_room_for_a_refusal_in_every_version(key: int) -> None:
    api = TABLE[key][0]
    asked: dict[str, object] = {"topics": [{"name": "t", "partitions": [{"index": 3}]}], "groups": ["g"]}
    if api.name in ("Metadata", "DeleteTopics"):
        asked["topics"] = ["t"]
    for version in range(api.first, api.last + 1):
        written = b"".join(api.writes(version).encode(api.refusal(asked, 56)))
        read = api.writes(version).decode(memoryview(written))
        if api.name not in ("Fetch", "OffsetFetch", "LeaveGroup"):
            assert 56 in _codes(read) or "resources" in read


def _codes(reply: object) -> list[int]:
    if isinstance(reply, dict):
        own = [reply["error_code"]] if "error_code" in reply else []
        return own + [code for value in reply.values() for code in _codes(value)]
    return [code for item in reply for code in _codes(item)] if isinstance(reply, list) else []


def test_a_delay_delays_one_request(kafka: DevKafka, client: RawClient) -> None:
    kafka.faults.delay(METADATA.key, 1.0)
    took = []
    for _ in range(2):
        started = time.perf_counter()
        client.ask(METADATA, 5, topics=[])
        took.append(time.perf_counter() - started)
    assert took[0] >= 1.0 > took[1]


def test_a_waiting_fetch_wakes_with_the_append_and_only_then(kafka: DevKafka, client: RawClient) -> None:
    client.create_topic("t")
    with RawClient(kafka.bootstrap) as reader:
        item = {"index": 0, "fetch_offset": 0, "max_bytes": 1000}
        reader.send(
            FETCH, 4, replica_id=-1, max_wait_ms=20_000, min_bytes=1, max_bytes=1000, isolation_level=0,
            topics=[{"name": "t", "partitions": [item]}],
        )  # fmt: skip
        time.sleep(0.2)  # sleep: gives the fetch time to reach the broker; the test holds without it
        started = time.perf_counter()
        client.produce("t", record_batch([b"x"]))
        [partition] = reader.receive(FETCH, 4)["topics"][0]["partitions"]
        assert time.perf_counter() - started < 5
        assert partition["high_watermark"] == 1


async def test_an_idempotent_producer_repeats_nothing_through_lost_answers(kafka: DevKafka, client: RawClient) -> None:
    client.create_topic("t")
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, enable_idempotence=True, retry_backoff_ms=20, linger_ms=1
    )
    await producer.start()
    for number in range(20):
        if number % 4 == 0:
            kafka.faults.drop(PRODUCE.key, after=True)
        sent = await asyncio.wait_for(producer.send_and_wait("t", b"%d" % number), 30)
        assert sent.offset == number, "the original offset is returned"
    await producer.stop()
    assert client.fetch("t", 0)["high_watermark"] == 20
