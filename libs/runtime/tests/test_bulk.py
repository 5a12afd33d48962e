"""Records read in whole batches: the same records, at the same offsets, as one at a time."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from modelyard_runtime.kafka import Received, Records
from modelyard_runtime.kafka.aiokafka_internals import FetchedInBulk, rows

LZ4, READ_COMMITTED = 3, 1
WHERE = TopicPartition("topic", 2)


def batch(first: int, values: list[bytes], producer: int = -1, transactional: bool = False) -> bytes:
    """A batch as a broker keeps it: written from offset 0, its base set to `first`."""
    builder = DefaultRecordBatchBuilder(2, LZ4, int(transactional), producer, 0, 0, 1_000_000)
    for i, value in enumerate(values):
        builder.append(i, 1_000 + i, b"key", value, [("h", b"1")])
    return first.to_bytes(8, "big") + bytes(builder.build())[8:]


def fetched(data: bytes, since: int, aborted: list[tuple[int, int]] | None = None) -> list[Any]:
    """The records that `getmany` returns of a fetch that began at offset `since`."""
    fetches = FetchedInBulk()
    found = PartitionRecords(WHERE, MemoryRecords(data), aborted, since, None, None, True, READ_COMMITTED)
    state = SimpleNamespace(paused=False, position=since, consumed_to=lambda position: None)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    fetches[WHERE] = FetchResult(WHERE, assignment=assignment, partition_records=found, backoff=0)
    return rows(fetches[WHERE].getall())


def test_all_records_of_all_batches_come_in_order() -> None:
    found = fetched(batch(5, [b"a", b"b"]) + batch(9, [b"c"]), since=5)
    assert [(r.offset, r.value, r.key, r.timestamp) for r in found] == [
        (5, b"a", b"key", 1_000),
        (6, b"b", b"key", 1_001),
        (9, b"c", b"key", 1_000),
    ]


def test_a_batch_is_cut_where_reading_begins() -> None:
    data = batch(2, [b"c", b"d", b"e"]) + batch(5, [b"f"])
    assert [r.offset for r in fetched(data, since=3)] == [3, 4, 5]


def test_aborted_transactions_are_not_seen() -> None:
    data = batch(0, [b"kept"], 1, True) + batch(1, [b"aborted"], 2, True) + batch(2, [b"kept"], 1, True)
    assert [r.value for r in fetched(data, since=0, aborted=[(2, 1)])] == [b"kept", b"kept"]


def test_a_damaged_batch_is_an_error() -> None:
    data = bytearray(batch(0, [b"a" * 100]))
    data[-1] ^= 0xFF
    with pytest.raises(CorruptRecordException):
        fetched(bytes(data), since=0)


def some(*sizes: int) -> Records:
    return Records.of([Received("topic", 2, 10 + i, None, b"x" * size) for i, size in enumerate(sizes)])


def test_one_record_of_many_is_as_if_it_had_come_alone() -> None:
    one = Records.of([Received("topic", 2, 7, "k", b"v", {"h": "1"}, 99)])[0]
    assert (one.topic, one.partition, one.offset, one.key, one.value, one.timestamp_ms) == (
        "topic",
        2,
        7,
        "k",
        b"v",
        99,
    )
    assert one.headers == {"h": "1"}


def test_columns_slices_and_sizes_agree() -> None:
    records = some(1, 2, 3)
    assert (records.offsets(), records.last_offset, records.size_bytes) == ([10, 11, 12], 12, 6)
    assert [len(value or b"") for value in records[1:].values()] == [2, 3]
    assert records[1:].size_bytes == 5
    assert [one.offset for one in records] == [10, 11, 12]
    assert (len(records[3:]), records[3:].last_offset) == (0, -1)


@pytest.mark.parametrize(
    ("max_records", "max_bytes", "cut"), [(9, 99, 4), (2, 99, 2), (9, 4, 2), (9, 5, 3), (9, 1, 1), (1, 1, 1)]
)
def test_a_batch_is_cut_at_either_limit_but_never_empty(max_records: int, max_bytes: int, cut: int) -> None:
    assert some(3, 1, 1, 1).cut(max_records, max_bytes) == cut
