"""Records: written, read back, found by offset and time."""

import asyncio
import time

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import OffsetOutOfRangeError

from modelyard_devkafka.errors import Code
from modelyard_devkafka.testing import RawClient, record_batch
from modelyard_devkafka.wire.data_apis import DELETE_RECORDS

from .kit import Kit, partition, take

pytestmark = pytest.mark.server


async def test_a_record_comes_back_as_it_was_sent(kit: Kit) -> None:
    topic = await kit.topic()
    producer = await kit.producer()
    headers = [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]
    sent = await producer.send_and_wait(topic, b"value", key=b"key", headers=headers, timestamp_ms=1_700_000_000_123)
    await producer.send_and_wait(topic, None, key=b"tombstone")
    first, second = await kit.all_of(topic)
    assert (first.key, first.value, list(first.headers), first.timestamp) == (
        b"key", b"value", headers, 1_700_000_000_123,
    )  # fmt: skip
    assert (first.offset, second.offset) == (sent.offset, sent.offset + 1) == (0, 1)
    assert (first.timestamp_type, second.key, second.value) == (0, b"tombstone", None)


async def test_order_and_offsets_have_no_gap(kit: Kit) -> None:
    topic = await kit.topic()
    await kit.fill(topic, 3_000)
    records = await kit.all_of(topic)
    assert [(r.offset, r.value) for r in records] == [(n, b"%d" % n) for n in range(3_000)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_come_back(kit: Kit, codec: str) -> None:
    topic = await kit.topic()
    producer = await kit.producer(compression_type=codec, linger_ms=20)
    await asyncio.gather(*[await producer.send(topic, b"%d" % n * 50) for n in range(200)])
    assert [r.value for r in await kit.all_of(topic)] == [b"%d" % n * 50 for n in range(200)]


async def test_large_messages_pass(kit: Kit) -> None:
    size = 5 * 1024 * 1024
    topic = await kit.topic(max_message_bytes=str(2 * size))
    producer = await kit.producer(max_request_size=2 * size)
    await producer.send_and_wait(topic, b"x" * size)
    [record] = await kit.all_of(topic)
    assert len(record.value) == size


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_every_level_of_acknowledgement_works(kit: Kit, acks: int | str) -> None:
    topic = await kit.topic()
    producer = await kit.producer(acks=acks)
    for number in range(20):
        await producer.send_and_wait(topic, b"%d" % number)
    await producer.stop()
    consumer = await kit.consumer(topic)
    assert [r.value for r in await take(consumer, 20)] == [b"%d" % n for n in range(20)]


async def test_positions_ends_and_seeks(kit: Kit) -> None:
    topic = await kit.topic()
    tp = partition(topic)
    await kit.fill(topic, 100)
    consumer = await kit.consumer()
    consumer.assign([tp])
    assert (await consumer.beginning_offsets([tp]), await consumer.end_offsets([tp])) == ({tp: 0}, {tp: 100})
    consumer.seek(tp, 42)
    assert (await consumer.getone()).offset == 42
    await consumer.seek_to_beginning(tp)
    assert (await consumer.getone()).offset == 0
    await consumer.seek_to_end(tp)
    assert await consumer.position(tp) == 100


async def test_offsets_for_times(kit: Kit) -> None:
    began_ms = (
        int(time.time() * 1_000) - 60_000
    )  # records of another year are past their retention: a broker may drop them
    topic = await kit.topic()
    tp = partition(topic)
    producer = await kit.producer()
    for number in range(10):
        await producer.send_and_wait(topic, b"%d" % number, timestamp_ms=began_ms + 1_000 * number)
    consumer = await kit.consumer(topic)
    found = await consumer.offsets_for_times({tp: began_ms + 4_500})
    assert (found[tp].offset, found[tp].timestamp) == (5, began_ms + 5_000)
    assert (await consumer.offsets_for_times({tp: began_ms + 60_000}))[tp] is None


async def test_an_offset_out_of_range_is_reported(kit: Kit) -> None:
    topic = await kit.topic()
    await kit.fill(topic, 3)
    consumer = await kit.consumer(auto_offset_reset="none")
    consumer.assign([partition(topic)])
    consumer.seek(partition(topic), 1_000)
    with pytest.raises(OffsetOutOfRangeError):
        await asyncio.wait_for(consumer.getone(), 20)


async def test_deleted_records_are_gone(kit: Kit) -> None:
    topic = await kit.topic()
    await kit.fill(topic, 10)
    admin = await kit.admin()
    assert await admin.delete_records({partition(topic): RecordsToDelete(before_offset=7)}) == {partition(topic): 7}
    assert [r.offset for r in await kit.all_of(topic)] == [7, 8, 9]


async def test_records_that_cannot_be_deleted_are_named(kit: Kit) -> None:
    topic = await kit.topic()
    partitions = [{"index": 0, "offset": 5}, {"index": 9, "offset": 0}]
    with RawClient(kit.bootstrap) as raw:
        reply = raw.ask(DELETE_RECORDS, 1, topics=[{"name": topic, "partitions": partitions}], timeout_ms=5_000)
    codes = {item["index"]: item["error_code"] for item in reply["topics"][0]["partitions"]}
    assert codes == {0: Code.OFFSET_OUT_OF_RANGE, 9: Code.UNKNOWN_TOPIC_OR_PARTITION}


async def test_a_waiting_fetch_wakes_with_the_append(kit: Kit) -> None:
    topic = await kit.topic()
    consumer = await kit.consumer(topic, fetch_max_wait_ms=10_000)
    producer = await kit.producer()
    latencies = []
    await producer.send_and_wait(topic, b"warm")
    await take(consumer, 1)
    for _ in range(20):
        await asyncio.sleep(0.02)  # sleep: gives the fetch time to reach the broker; the test holds without it
        started = time.perf_counter()
        await producer.send_and_wait(topic, b"x")
        await consumer.getone()
        latencies.append(time.perf_counter() - started)
    assert sorted(latencies)[10] < 2, latencies


async def test_log_append_time_is_the_brokers(kit: Kit) -> None:
    topic = await kit.topic(message_timestamp_type="LogAppendTime")
    producer = await kit.producer(compression_type="gzip")
    before = int(time.time() * 1000)
    sent = await producer.send_and_wait(topic, b"x", timestamp_ms=5)
    [record] = await kit.all_of(topic)
    assert record.timestamp_type == 1
    assert record.timestamp == sent.timestamp >= before - 1000


async def test_retention_by_size_drops_the_oldest_records(kit: Kit) -> None:
    """Checks only what holds at any time on any broker: the newest records stay, and offsets continue."""
    topic = await kit.topic(segment_bytes=str(1 << 20), retention_bytes=str(1 << 20), retention_ms="-1")
    producer = await kit.producer(linger_ms=5)
    for _ in range(4_000):
        await producer.send(topic, b"x" * 1_000)
    await producer.flush()
    consumer = await kit.consumer(topic)
    end = (await consumer.end_offsets([partition(topic)]))[partition(topic)]
    assert end == 4_000
    consumer.seek(partition(topic), end - 1)
    assert (await consumer.getone()).offset == end - 1


async def test_a_batch_with_a_bad_checksum_is_refused(kit: Kit) -> None:
    topic = await kit.topic()
    good = record_batch([b"abc"])
    with RawClient(kit.bootstrap) as raw:
        assert raw.produce(topic, good[:-1] + bytes([good[-1] ^ 1]))["error_code"] == Code.CORRUPT_MESSAGE
        assert raw.produce(topic, good)["base_offset"] == 0
        assert raw.fetch(topic, 0)["high_watermark"] == 1


async def test_many_partitions_in_one_fetch_share_its_limit(kit: Kit) -> None:
    topic = await kit.topic(8)
    await kit.fill(topic, 4_000, partitions=8)
    consumer = await kit.consumer(topic, fetch_max_bytes=2_000, max_partition_fetch_bytes=1_000)
    records = await take(consumer, 4_000)
    assert sorted(int(r.value) for r in records) == list(range(4_000))
    assert {r.topic: r.partition for r in records}.keys() == {topic}
    assert TopicPartition(topic, 7) in consumer.assignment()
