"""Storage: journal, segments, retention, compaction."""

import asyncio
import os
import zlib
from pathlib import Path

import pytest

from modelyard_devkafka import DataFolderUnusable, DevKafka
from modelyard_devkafka.configs import TopicConfig
from modelyard_devkafka.errors import Code, StorageFailed
from modelyard_devkafka.housekeeping import expired_below
from modelyard_devkafka.storage import batch as batches
from modelyard_devkafka.storage.compaction import compact, recover
from modelyard_devkafka.storage.journal import Journal
from modelyard_devkafka.storage.partition import Partition, now_ms
from modelyard_devkafka.testing import RawClient, record_batch
from modelyard_devkafka.wire.data_apis import DELETE_RECORDS


def reopened(folder: Path, config: TopicConfig | None = None) -> Partition:
    recover(folder)
    partition = Partition(folder, config or TopicConfig())
    partition.load()
    return partition


def append(partition: Partition, *values: bytes | None, key: bytes | None = None, **batch: object) -> int:
    keys = None if key is None else [key] * len(values)
    return partition.append(memoryview(record_batch(values, keys=keys, **batch))).base_offset  # type: ignore[arg-type]


def values(partition: Partition, *, committed: bool = False) -> list[bytes | None]:
    found: list[bytes | None] = []
    offset = partition.log_start
    while True:
        data, _ = partition.read(offset, 1 << 20, committed=committed, at_least_one=True)
        if not data:
            return found
        at = 0
        while at + batches.HEADER.size <= len(data) and batches.header_at(data, at).size <= len(data) - at:
            header = batches.header_at(data, at)
            if not header.control:
                found += [r.value for r in batches.records_of(data[at : at + header.size]) if r.offset >= offset]
            at += header.size
            offset = header.last_offset + 1


# The journal


def test_a_journal_comes_back_with_what_was_put(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.put((("a", 1), {"x": 1}), (("b",), 2))
    journal.put((("b",), None))
    again = Journal(tmp_path / "journal")
    assert (again.get("a", 1), again.get("b")) == ({"x": 1}, None)


def test_facts_put_together_are_lost_together_when_the_last_write_is_torn(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.put((("first",), 1))
    whole = (tmp_path / "journal").stat().st_size
    journal.put((("second",), 2), (("third",), 3))
    os.truncate(tmp_path / "journal", (tmp_path / "journal").stat().st_size - 1)
    again = Journal(tmp_path / "journal")
    assert [key for key, _ in again.items()] == [("first",)]
    assert (tmp_path / "journal").stat().st_size == whole


def test_a_journal_damaged_before_its_end_refuses_to_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.put((("a",), "long enough"))
    journal.put((("b",), 2))
    data = bytearray((tmp_path / "journal").read_bytes())
    data[15] ^= 1
    (tmp_path / "journal").write_bytes(data)
    with pytest.raises(DataFolderUnusable, match="damaged in line 1"):
        Journal(tmp_path / "journal")


def test_a_journal_does_not_grow_with_repeated_facts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", rewrite_above_bytes=10_000)
    for number in range(5_000):
        journal.put((("offset", "group", "topic", 0), [number, ""]))
    assert (tmp_path / "journal").stat().st_size < 20_000
    assert Journal(tmp_path / "journal").get("offset", "group", "topic", 0) == [4_999, ""]


def test_the_journal_line_is_readable_by_people(tmp_path: Path) -> None:
    Journal(tmp_path / "journal").put((("a",), 1))
    line = (tmp_path / "journal").read_bytes()
    assert line == b"%08x " % zlib.crc32(b'[[["a"],1]]') + b'[[["a"],1]]\n'


# Segments


def test_a_partition_comes_back_and_continues(tmp_path: Path) -> None:
    partition = Partition(tmp_path, TopicConfig({"segment.bytes": "300"}))
    for number in range(20):
        assert append(partition, b"%d" % number) == number
    again = reopened(tmp_path)
    assert len(again.segments) > 3
    assert values(again) == [b"%d" % number for number in range(20)]
    assert append(again, b"next") == 20


@pytest.mark.parametrize("lost", [1, 30, 70])
def test_a_torn_last_batch_is_cut_off(tmp_path: Path, lost: int) -> None:
    partition = Partition(tmp_path, TopicConfig())
    append(partition, b"whole")
    append(partition, b"torn" * 100)
    path = partition.segments[-1].path
    os.truncate(path, path.stat().st_size - lost)
    again = reopened(tmp_path)
    assert values(again) == [b"whole"]
    assert append(again, b"next") == 1
    again.roll()
    append(again, b"in the next file")
    assert values(reopened(tmp_path)) == [b"whole", b"next", b"in the next file"]


def test_damage_in_an_older_segment_refuses_to_open(tmp_path: Path) -> None:
    partition = Partition(tmp_path, TopicConfig({"segment.bytes": "100"}))
    append(partition, b"a")
    append(partition, b"b")
    os.truncate(partition.segments[0].path, 40)
    with pytest.raises(DataFolderUnusable, match="damaged at byte 0"):
        reopened(tmp_path)


def test_every_offset_is_found_whatever_the_batch_sizes(tmp_path: Path) -> None:
    partition = Partition(tmp_path, TopicConfig({"segment.bytes": "20000"}))
    expected = []
    for number in range(300):
        many = [b"%d.%d" % (number, part) * (number % 40 + 1) for part in range(number % 7 + 1)]
        append(partition, *many)
        expected += many
    for offset in range(0, len(expected), 7):
        data, _ = partition.read(offset, 1, committed=False, at_least_one=True)
        [found] = [r.value for r in batches.records_of(data) if r.offset == offset]
        assert found == expected[offset]
    assert values(partition) == expected


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition(tmp_path, TopicConfig())
    append(partition, b"before")

    def full_disk(fd: int, data: memoryview, at: int) -> int:
        os.lseek(fd, at, os.SEEK_SET)
        os.write(fd, data[:300])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full_disk)
        with pytest.raises(StorageFailed, match="No space left"):
            append(partition, b"lost" * 100)
    assert append(partition, b"after") == 1
    partition.roll()
    append(partition, b"in the next file")
    assert values(reopened(tmp_path)) == [b"before", b"after", b"in the next file"]


def test_offsets_for_times_find_the_first_record_that_is_not_older(tmp_path: Path) -> None:
    partition = Partition(tmp_path, TopicConfig({"segment.bytes": "400"}))
    for number in range(20):
        append(partition, b"a", b"b", timestamp_ms=1_000 + 10 * number)
    assert partition.offset_for_time(0) == (0, 1_000)
    assert partition.offset_for_time(1_055) == (12, 1_060)
    assert partition.offset_for_time(1_191) == (-1, -1)


# Retention


def test_retention_bytes_drops_whole_old_segments_but_never_the_one_being_written(tmp_path: Path) -> None:
    partition = Partition(
        tmp_path, TopicConfig({"segment.bytes": "200", "retention.bytes": "450", "retention.ms": "-1"})
    )
    for number in range(30):
        append(partition, b"%02d" % number)
    partition.advance_start(expired_below(partition, now_ms()))
    assert 450 <= partition.size < 450 + 200
    assert values(partition)[-1] == b"29"
    assert len(list(tmp_path.glob("*.log"))) == len(partition.segments)


def test_retention_ms_drops_what_is_too_old_and_offsets_go_on(tmp_path: Path) -> None:
    partition = Partition(tmp_path, TopicConfig({"retention.ms": "1000"}))
    append(partition, b"old", timestamp_ms=5_000)
    assert expired_below(partition, 6_000) == 0
    partition.advance_start(expired_below(partition, 6_001))
    assert (partition.log_start, partition.next_offset, values(partition)) == (1, 1, [])
    again = Partition(tmp_path, TopicConfig(), log_start=1)
    again.load()
    assert append(again, b"new") == 1


def test_retention_leaves_an_open_transaction_alone(tmp_path: Path) -> None:
    partition = Partition(tmp_path, TopicConfig({"retention.ms": "1"}))
    append(partition, b"open", transactional=True, producer=(7, 0), sequence=0, timestamp_ms=5)
    assert expired_below(partition, now_ms()) == 0
    partition.end_transaction(7, 0, committed=True)
    assert expired_below(partition, now_ms() + 10) == 2


def test_deleted_records_are_gone_after_a_restart_too(kafka: DevKafka, client: RawClient, tmp_path: Path) -> None:
    client.create_topic("t")
    for number in range(5):
        client.produce("t", record_batch([b"%d" % number]))
    topic = {"name": "t", "partitions": [{"index": 0, "offset": 3}]}
    [gone] = client.ask(DELETE_RECORDS, 1, topics=[topic], timeout_ms=1000)["topics"][0]["partitions"]
    assert gone == {"index": 0, "low_watermark": 3, "error_code": 0}
    kafka.stop()
    with DevKafka(tmp_path / "data") as again, RawClient(again.bootstrap) as reader:
        assert reader.fetch("t", 2)["error_code"] == Code.OFFSET_OUT_OF_RANGE
        assert reader.fetch("t", 3)["log_start_offset"] == 3


# Compaction


def compacted(tmp_path: Path, **own: str) -> Partition:
    config = {"cleanup.policy": "compact", "segment.bytes": "300", **{k.replace("_", "."): v for k, v in own.items()}}
    return Partition(tmp_path, TopicConfig(config))


async def test_compaction_keeps_the_latest_value_of_each_key_at_its_offset(tmp_path: Path) -> None:
    partition = compacted(tmp_path)
    for number in range(100):
        append(partition, b"%d" % number, key=b"k%d" % (number % 3))
    tail = partition.segments[-1].base_offset
    before = partition.size
    assert await compact(partition, now_ms(), lambda: True)
    assert partition.size < before / 5
    kept = values(partition)
    assert kept[: -(100 - tail)] == [b"%d" % number for number in range(tail - 3, tail)]
    data, _ = partition.read(0, 1 << 20, committed=False, at_least_one=True)
    assert next(batches.records_of(data[: batches.header_at(data).size])).offset == tail - 3
    again = reopened(tmp_path)
    assert values(again) == kept
    assert append(again, b"next", key=b"k") == 100
    assert not await compact(partition, now_ms(), lambda: True), "nothing new to compact"


async def test_compaction_rebuilds_batches_of_which_some_records_stay(tmp_path: Path) -> None:
    partition = compacted(tmp_path, segment_bytes="100")
    for codec_id in range(5):
        records = record_batch([b"old", b"keep"], keys=[b"k", b"k%d" % codec_id], codec_id=codec_id, timestamp_ms=77)
        partition.append(memoryview(records))
    append(partition, b"new", key=b"k")
    append(partition, b"tail", key=b"z")
    assert await compact(partition, now_ms(), lambda: True)
    assert values(reopened(tmp_path)) == [b"keep"] * 5 + [b"new", b"tail"]


async def test_compaction_drops_tombstones_only_after_their_time(tmp_path: Path) -> None:
    partition = compacted(tmp_path, segment_bytes="100", delete_retention_ms="1000")
    append(partition, b"value", key=b"k", timestamp_ms=5_000)
    append(partition, None, key=b"k", timestamp_ms=5_000)
    append(partition, b"tail", key=b"t", timestamp_ms=5_000)
    assert await compact(partition, 5_500, lambda: True)
    assert values(partition) == [None, b"tail"]
    append(partition, b"tail", key=b"t", timestamp_ms=5_000)
    assert await compact(reopened(tmp_path, partition.config), 7_000, lambda: True)
    assert values(reopened(tmp_path)) == [b"tail", b"tail"][-1:] or values(reopened(tmp_path))[0] is not None


async def test_compaction_drops_aborted_records_and_shows_committed_ones(tmp_path: Path) -> None:
    partition = compacted(tmp_path, segment_bytes="150")
    append(partition, b"plain", key=b"a")
    append(partition, b"aborted", key=b"a", transactional=True, producer=(1, 0), sequence=0)
    partition.end_transaction(1, 0, committed=False)
    append(partition, b"committed", key=b"b", transactional=True, producer=(2, 0), sequence=0)
    partition.end_transaction(2, 0, committed=True)
    for _ in range(3):
        append(partition, b"tail", key=b"t")
    assert await compact(partition, now_ms(), lambda: True)
    for log in (partition, reopened(tmp_path)):
        assert values(log, committed=True)[:2] == [b"plain", b"committed"]
        assert log.last_stable_offset == log.next_offset


def test_an_exchange_that_a_crash_interrupted_is_finished_at_the_start(tmp_path: Path) -> None:
    partition = compacted(tmp_path)
    for number in range(50):
        append(partition, b"%d" % number, key=b"k")
    files = {path.name: path.read_bytes() for path in tmp_path.glob("*.log")}
    end = partition.segments[-1].base_offset
    assert asyncio.run(compact(partition, now_ms(), lambda: True))
    kept, new = values(partition), partition.segments[0].path
    for name, data in files.items():  # as if the process had died after the rename to .swap
        if int(name.split(".")[0]) < end and name != new.name:
            (tmp_path / name).write_bytes(data)
    new.rename(tmp_path / f"{0:020d}.{end:020d}.swap")
    (tmp_path / f"{0:020d}.log").write_bytes(files[f"{0:020d}.log"])
    (tmp_path / f"{0:020d}.cleaned").write_bytes(b"half")
    assert values(reopened(tmp_path)) == kept
    assert not list(tmp_path.glob("*.swap")) and not list(tmp_path.glob("*.cleaned"))


def test_a_compacted_topic_takes_no_record_without_a_key(client: RawClient) -> None:
    client.create_topic("state", cleanup_policy="compact")
    assert client.produce("state", record_batch([b"v"]))["error_code"] == Code.INVALID_RECORD
    assert client.produce("state", record_batch([b"v"], keys=[b"k"]))["error_code"] == 0


def test_disk_and_memory_stay_bounded_under_a_stream(kafka: DevKafka, client: RawClient, tmp_path: Path) -> None:
    client.create_topic("stream", segment_bytes=100_000, retention_bytes=200_000, retention_ms=-1)
    client.create_topic("state", cleanup_policy="compact", segment_bytes=50_000)
    for number in range(600):
        client.produce("stream", record_batch([b"x" * 1000] * 3))
        client.produce("state", record_batch([b"y" * 500], keys=[b"k%d" % (number % 5)]))
        if number % 100 == 99:
            kafka.housekeep()
    on_disk = sum(path.stat().st_size for path in (tmp_path / "data" / "topics").rglob("*.log"))
    assert on_disk < 200_000 + 100_000 + 2 * 50_000 + 10_000
