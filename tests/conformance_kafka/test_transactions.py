"""Idempotence, transactions, fencing."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from modelyard_devkafka.errors import Code
from modelyard_devkafka.testing import RawClient, record_batch
from modelyard_devkafka.wire.transaction_apis import ADD_PARTITIONS_TO_TXN, END_TXN, INIT_PRODUCER_ID
from modelyard_devstack.testing import eventually, remains, wait_until

from .kit import Kit, partition, take

pytestmark = pytest.mark.server
NOT_LEADER = 6  # transient: a cluster asks the coordinator about the transaction


async def values(kit: Kit, topic: str, *, committed: bool = True) -> list[bytes]:
    return [record.value for record in await kit.all_of(topic, committed=committed)]


async def aborted(producer: AIOKafkaProducer, topic: str, count: int) -> None:
    await producer.begin_transaction()
    for number in range(count):
        await producer.send_and_wait(topic, b"aborted-%d" % number)
    await producer.abort_transaction()


async def test_a_committed_transaction_is_read_and_an_aborted_one_is_not(kit: Kit) -> None:
    topic = await kit.topic()
    producer = await kit.producer(transactional_id=kit.unique("tx"))
    await aborted(producer, topic, 5)
    async with producer.transaction():
        await producer.send(topic, b"committed")
    await aborted(producer, topic, 1)
    assert await values(kit, topic) == [b"committed"]
    assert len(await values(kit, topic, committed=False)) == 7


async def test_a_reader_of_committed_records_waits_at_the_open_transaction(kit: Kit) -> None:
    topic = await kit.topic()
    plain, transactional = await kit.producer(), await kit.producer(transactional_id=kit.unique("tx"))
    await transactional.begin_transaction()
    await transactional.send_and_wait(topic, b"open")
    await plain.send_and_wait(topic, b"behind")
    consumer = await kit.consumer(topic, isolation_level="read_committed")
    assert await consumer.getmany(timeout_ms=500) == {}
    assert (await consumer.end_offsets([partition(topic)]))[partition(topic)] == 0
    await transactional.commit_transaction()
    assert [r.value for r in await take(consumer, 2)] == [b"open", b"behind"]


async def test_a_new_producer_takes_over_and_fences_the_old_one(kit: Kit) -> None:
    topic, name = await kit.topic(), kit.unique("tx")
    old = await kit.producer(transactional_id=name)
    await old.begin_transaction()
    await old.send_and_wait(topic, b"of the dead")
    started = time.monotonic()
    new = await kit.producer(transactional_id=name)
    assert time.monotonic() - started < 30, "sooner than a transaction may last"
    async with new.transaction():
        await new.send(topic, b"of the living")
    with pytest.raises(ProducerFenced):
        await old.send_and_wait(topic, b"zombie")
        await old.commit_transaction()
    assert await values(kit, topic) == [b"of the living"]


async def test_a_dead_producers_transaction_is_aborted_after_its_timeout(kit: Kit) -> None:
    topic = await kit.topic()
    dead = await kit.producer(transactional_id=kit.unique("tx"), transaction_timeout_ms=2_000)
    await dead.begin_transaction()
    await dead.send_and_wait(topic, b"unfinished")
    plain = await kit.producer()
    await plain.send_and_wait(topic, b"behind")
    consumer = await kit.consumer(topic, isolation_level="read_committed")
    [record] = await take(consumer, 1, seconds=40)
    assert record.value == b"behind"


async def test_offsets_in_a_transaction_for_a_group_without_members(kit: Kit) -> None:
    topic, group = await kit.topic(), kit.unique("group")
    producer = await kit.producer(transactional_id=kit.unique("tx"))
    admin = await kit.admin()
    async with producer.transaction():
        await producer.send(topic, b"x")
        await producer.send_offsets_to_transaction({partition(topic): 5}, group)

    async def committed() -> int | None:
        offset = (await admin.list_consumer_group_offsets(group)).get(partition(topic))
        return offset.offset if offset else None

    # Kafka answers a commit before the group's coordinator has applied it.
    assert await eventually(committed) == 5
    await producer.begin_transaction()
    await producer.send_offsets_to_transaction({partition(topic): 9}, group)
    await producer.abort_transaction()

    async def still_five() -> bool:
        return await committed() == 5

    await remains(still_five, 0.5)


async def test_a_transaction_spans_topics_and_partitions(kit: Kit) -> None:
    one, two = await kit.topic(3), await kit.topic(2)
    producer = await kit.producer(transactional_id=kit.unique("tx"))
    async with producer.transaction():
        for number in range(30):
            await producer.send(one, b"%d" % number, partition=number % 3)
            await producer.send(two, b"%d" % number, partition=number % 2)
    for topic in (one, two):
        assert sorted(map(int, await values(kit, topic))) == list(range(30))


async def test_idempotent_producers_side_by_side_lose_and_repeat_nothing(kit: Kit) -> None:
    topic = await kit.topic(4)
    await asyncio.gather(*(kit.fill(topic, 500, partitions=4) for _ in range(4)))
    counted = sorted(map(int, await values(kit, topic)))
    assert counted == sorted(list(range(500)) * 4)


def start(raw: RawClient, name: str | None) -> tuple[int, int]:
    reply: dict[str, Any] = {}

    def answered() -> bool:
        reply.update(raw.ask(INIT_PRODUCER_ID, 1, transactional_id=name, transaction_timeout_ms=60_000))
        return reply["error_code"] not in (14, 15, 16, Code.CONCURRENT_TRANSACTIONS)

    wait_until(answered, 10, what="the transaction coordinator")
    assert reply["error_code"] == 0
    return reply["producer_id"], reply["producer_epoch"]


async def test_a_retry_of_any_of_the_last_five_batches_gives_its_original_offset(kit: Kit) -> None:
    topic = await kit.topic()
    with RawClient(kit.bootstrap) as raw:
        producer = start(raw, None)
        sent = [record_batch([b"a", b"b"], producer=producer, sequence=2 * n) for n in range(8)]
        assert [raw.produce(topic, batch)["base_offset"] for batch in sent] == list(range(0, 16, 2))
        retried = [raw.produce(topic, batch) for batch in sent]
    assert [(r["error_code"], r["base_offset"]) for r in retried[3:]] == [(0, n) for n in range(6, 16, 2)]
    assert {r["error_code"] for r in retried[:3]} == {Code.OUT_OF_ORDER_SEQUENCE_NUMBER}


async def test_a_gap_in_the_sequence_is_refused(kit: Kit) -> None:
    topic = await kit.topic()
    with RawClient(kit.bootstrap) as raw:
        producer = start(raw, None)
        assert raw.produce(topic, record_batch([b"a"], producer=producer, sequence=0))["error_code"] == 0
        gap = raw.produce(topic, record_batch([b"a"], producer=producer, sequence=5))
        assert gap["error_code"] == Code.OUT_OF_ORDER_SEQUENCE_NUMBER


def retried(ask: Callable[[], int], transient: int) -> int:
    """The first error code that is not `transient`."""
    codes: list[int] = []

    def answered() -> bool:
        codes.append(ask())
        return codes[-1] != transient

    wait_until(answered)
    return codes[-1]


async def test_each_step_of_a_transaction_is_checked(kit: Kit) -> None:
    topic, name = await kit.topic(), kit.unique("tx")
    with RawClient(kit.bootstrap) as raw:
        producer = start(raw, name)
        who = {"transactional_id": name, "producer_id": producer[0], "producer_epoch": producer[1]}

        def add(**change: object) -> int:
            topics = [{"name": topic, "partitions": [0]}]
            reply = raw.ask(ADD_PARTITIONS_TO_TXN, 2, **{**who, **change}, topics=topics)
            return int(reply["topics"][0]["partitions"][0]["error_code"])

        def end(*, committed: bool) -> int:
            return retried(
                lambda: int(raw.ask(END_TXN, 2, **who, committed=committed)["error_code"]), Code.CONCURRENT_TRANSACTIONS
            )

        def write(sequence: int) -> int:
            batch = record_batch([b"v"], producer=producer, sequence=sequence, transactional=True)
            return retried(lambda: int(raw.produce(topic, batch, transactional_id=name)["error_code"]), NOT_LEADER)

        assert end(committed=True) == Code.INVALID_TXN_STATE, "no transaction was begun"
        assert add(producer_id=producer[0] + 1_000_000) == Code.INVALID_PRODUCER_ID_MAPPING
        assert add(producer_epoch=producer[1] + 1) == Code.PRODUCER_FENCED
        assert add() == 0
        assert write(0) == 0
        assert end(committed=True) == 0
        assert end(committed=True) == 0, "repeated"
        assert end(committed=False) == Code.INVALID_TXN_STATE
