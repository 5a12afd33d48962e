"""The same broker through librdkafka."""

import threading
import time
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from .kit import Kit

pytestmark = pytest.mark.server


def make(kit: Kit, partitions: int = 1) -> str:
    name, admin = kit.unique("topic"), AdminClient({"bootstrap.servers": kit.bootstrap})
    [made] = admin.create_topics([NewTopic(name, partitions)]).values()
    made.result(30)
    return name


def consumer(kit: Kit, group: str, **more: object) -> Consumer:
    return Consumer({
        "bootstrap.servers": kit.bootstrap, "group.id": group, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "session.timeout.ms": 6000, **more,
    })  # fmt: skip


def take(reader: Consumer, count: int) -> list[Message]:
    found: list[Message] = []
    for _ in range(600):
        found += [m for m in reader.consume(count - len(found), 0.1) if m.error() is None]
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} records")


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_group_reads_what_an_idempotent_producer_wrote(kit: Kit, codec: str) -> None:
    topic, group = make(kit), kit.unique("group")
    producer = Producer({"bootstrap.servers": kit.bootstrap, "enable.idempotence": True, "compression.type": codec})
    for number in range(100):
        producer.produce(topic, b"%d" % number, headers=[("h", b"1")])
    assert producer.flush(30) == 0
    reader = consumer(kit, group)
    reader.subscribe([topic])
    assert [m.value() for m in take(reader, 100)] == [b"%d" % n for n in range(100)]
    reader.commit(asynchronous=False)
    [committed] = reader.committed([TopicPartition(topic, 0)], 30)
    assert committed.offset == 100
    reader.close()


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_two_members_share_the_partitions(kit: Kit, strategy: str) -> None:
    topic, group = make(kit, 4), kit.unique("group")
    readers = [consumer(kit, group, **{"partition.assignment.strategy": strategy}) for _ in range(2)]
    for reader in readers:
        reader.subscribe([topic])
    for _ in range(300):
        for reader in readers:
            reader.poll(0.05)
        sizes = [len(reader.assignment()) for reader in readers]
        if sizes == [2, 2]:
            break
    closing = [threading.Thread(target=reader.close) for reader in readers]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join(30)
    assert sizes == [2, 2]


def test_a_transaction_with_offsets_and_the_member_that_read_them(kit: Kit) -> None:
    source, sink, group = make(kit), make(kit), kit.unique("group")
    plain = Producer({"bootstrap.servers": kit.bootstrap})
    for number in range(10):
        plain.produce(source, b"%d" % number)
    plain.flush(30)
    reader = consumer(kit, group, **{"isolation.level": "read_committed"})
    reader.subscribe([source])
    producer = Producer({"bootstrap.servers": kit.bootstrap, "transactional.id": kit.unique("tx")})
    producer.init_transactions(30)
    for committed in (False, True):
        records = take(reader, 10)
        producer.begin_transaction()
        for record in records:
            producer.produce(sink, record.value())
        position = reader.position(reader.assignment())
        producer.send_offsets_to_transaction(position, reader.consumer_group_metadata(), 30)
        if committed:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
            reader.seek(TopicPartition(source, 0, 0))
    [offset] = reader.committed([TopicPartition(source, 0)], 30)
    assert offset.offset == 10
    reader.close()
    out = consumer(kit, kit.unique("group"), **{"isolation.level": "read_committed", "enable.partition.eof": False})
    out.assign([TopicPartition(sink, 0, 0)])
    assert [m.value() for m in take(out, 10)] == [b"%d" % n for n in range(10)]
    assert out.poll(0.3) is None
    out.close()


def test_list_offsets_and_groups(kit: Kit) -> None:
    topic, group = make(kit), kit.unique("group")
    producer = Producer({"bootstrap.servers": kit.bootstrap})
    producer.produce(topic, b"x", timestamp=int(time.time() * 1_000))  # an old record would be deleted by retention
    producer.flush(30)
    admin, tp = AdminClient({"bootstrap.servers": kit.bootstrap}), TopicPartition(topic, 0)
    specs: Any = OffsetSpec
    for spec, offset in ((specs.earliest(), 0), (specs.latest(), 1), (specs.for_timestamp(5), 0)):
        [found] = admin.list_offsets({tp: spec}).values()
        assert found.result(30).offset == offset
    reader = consumer(kit, group)
    reader.subscribe([topic])
    take(reader, 1)
    described = admin.describe_consumer_groups([group])[group].result(30)
    assert len(described.members) == 1
    assert topic in {assigned.topic for assigned in described.members[0].assignment.topic_partitions}
    reader.close()
    assert group in {listing.group_id for listing in admin.list_consumer_groups().result(30).valid}
