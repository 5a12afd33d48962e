"""The write-ahead log: each appended record is read once, despite crashes and disk errors."""

import asyncio
import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_devstack.testing import eventually
from modelyard_router.domain.errors import SpoolCorrupt, SpoolFull, SpoolUnwritable, TooLarge
from modelyard_router.domain.records import FEEDBACK, PREDICTION
from modelyard_router.spool.folder import SENT_FILE
from modelyard_router.spool.segment import segment_path, segments_in
from modelyard_router.spool.spool import Spool
from modelyard_runtime.errors import StartupError


def opened(folder: Path, **more: int) -> Spool:
    """Nothing is kept in memory unless `recent_records` says so: what is read comes from the disk."""
    return Spool(folder, **{"max_bytes": 1 << 20, "segment_bytes": 4_096, "recent_records": 0, **more})  # type: ignore[arg-type]


def fill(spool: Spool, start: int, stop: int) -> None:
    for i in range(start, stop):
        spool.append(PREDICTION if i % 2 else FEEDBACK, b"k%d" % i, b"v%d" % i * 10, b"t" * (i % 3))


def drain(spool: Spool, step: int = 7) -> list[int]:
    seen = []
    while records := spool.read(step, 1 << 20):
        for record in records:
            i = record.position
            assert (record.key, record.value, record.trace) == (b"k%d" % i, b"v%d" % i * 10, b"t" * (i % 3))
            assert record.kind == (PREDICTION if i % 2 else FEEDBACK)
            seen.append(i)
    return seen


def test_records_come_back_in_order_over_many_segments_and_reopenings(tmp_path: Path) -> None:
    for start in range(0, 600, 200):
        spool = opened(tmp_path)
        assert spool.next_position == start
        fill(spool, start, start + 200)
        spool.close()
    spool = opened(tmp_path)
    assert len(segments_in(tmp_path)) > 3
    assert drain(spool) == list(range(600))
    spool.seek(333)
    assert drain(spool) == list(range(333, 600))


def test_records_read_promptly_come_from_memory(tmp_path: Path) -> None:
    spool = opened(tmp_path, recent_records=1_000)
    fill(spool, 0, 300)
    for first in segments_in(tmp_path):
        segment_path(tmp_path, first).write_bytes(b"")
    assert drain(spool) == list(range(300))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["append", "read", "seek", "release"]), st.integers(1, 60)), max_size=40)
)
def test_a_reader_between_memory_and_disk_sees_every_record_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Memory holds fifty records: the reader is overtaken, seeks back, and catches up."""
    spool = opened(tmp_path_factory.mktemp("spool"), recent_records=50)
    at = released = 0
    for step, count in steps:
        if step == "append":
            fill(spool, spool.next_position, spool.next_position + count)
        elif step == "read":
            got = spool.read(count, 1_000)
            assert [record.position for record in got] == list(range(at, at + len(got)))
            assert all(record.key == b"k%d" % record.position for record in got)
            assert got or at == spool.next_position
            at += len(got)
        elif step == "seek":
            at = max(released, at - count)
            spool.seek(at)
        else:
            released = at
            spool.release(at)
    assert drain(spool) == list(range(at, spool.next_position))


def test_released_segments_are_deleted_and_positions_go_on(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 300)
    before = spool.size_bytes
    spool.release(150)
    assert spool.size_bytes < before
    assert 0 < spool.first_position <= 150
    spool.seek(150)
    assert drain(spool) == list(range(150, 300))
    spool.release(300)
    assert (spool.size_bytes, spool.next_position, spool.sent) == (0, 300, 300)
    spool.close()
    again = opened(tmp_path)
    assert again.next_position == 300
    fill(again, 300, 310)
    assert drain(again) == list(range(300, 310))


def test_positions_go_on_even_when_all_segments_were_lost(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 10)
    spool.release(10)
    spool.close()
    for first in segments_in(tmp_path):
        segment_path(tmp_path, first).unlink()
    assert opened(tmp_path).next_position == 10


def test_the_note_of_what_was_sent_is_read_in_its_old_form_and_written_over(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 1_000)
    spool.close()
    (tmp_path / SENT_FILE).write_text("7")
    again = opened(tmp_path)
    assert again.sent == 7
    for position in (8, 999):
        again.release(position)
        assert again.sent == position
    again.close()
    (tmp_path / SENT_FILE).write_text("")
    assert opened(tmp_path).sent == 0


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(1, 60))
def test_a_torn_last_record_is_cut_off_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = opened(folder)
    fill(spool, 0, 5)
    spool.close()
    path = segment_path(folder, 0)
    os.truncate(path, path.stat().st_size - cut)
    again = opened(folder)
    assert again.next_position == (4 if cut <= 35 else 3)
    kept = again.next_position
    fill(again, kept, kept + 2)
    assert drain(again) == list(range(kept + 2))


def test_damage_in_the_middle_stops_the_reader_and_names_the_file(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 300)
    path = segment_path(tmp_path, segments_in(tmp_path)[1])
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(SpoolCorrupt, match=path.name):
        drain(spool)


def test_a_full_spool_refuses_and_goes_on_when_it_was_shipped(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=8_000, segment_bytes=2_000)
    with pytest.raises(SpoolFull, match="ROUTER_SPOOL_MAX_BYTES=8000"):
        fill(spool, 0, 1_000)
    count = spool.next_position
    spool.release(count)
    fill(spool, count, count + 10)
    spool.seek(count)
    assert drain(spool) == list(range(count, count + 10))


def test_after_the_folder_is_deleted_appends_are_refused(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool")
    fill(spool, 0, 3)
    spool.check_folder()
    assert not spool.full
    away = spool.folder.rename(tmp_path / "away")
    spool.check_folder()
    assert spool.full
    assert "was deleted" in str(spool.full_error())
    with pytest.raises(SpoolUnwritable, match="restore it, or restart"):
        fill(spool, 3, 4)
    spool.folder.mkdir()
    spool.check_folder()
    assert spool.full, "an empty folder is not the one we write to"
    spool.folder.rmdir()
    away.rename(spool.folder)
    spool.check_folder()
    fill(spool, 3, 6)
    assert drain(spool) == list(range(6))


def test_a_full_disk_is_reported_and_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    fill(spool, 0, 3)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
    with pytest.raises(SpoolUnwritable, match="free disk space"):
        fill(spool, 3, 4)
    assert spool.trouble
    monkeypatch.undo()
    fill(spool, 3, 6)
    assert not spool.trouble
    assert drain(spool) == list(range(6))


def test_a_record_that_no_message_may_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        opened(tmp_path, max_bytes=1 << 24).append(PREDICTION, b"k", b"x" * 1_000_001)


def test_two_routers_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(StartupError, match="another router"):
        opened(tmp_path)
    spool.close()
    opened(tmp_path)


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="ROUTER_DATA_DIR"):
        opened(tmp_path / "file" / "spool")


async def test_with_fsync_each_request_waits_for_a_sync_started_after_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20, fsync=True)
    synced: list[int] = []

    def sync(file: int) -> None:
        if stat.S_ISREG(os.fstat(file).st_mode):
            synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fdatasync", sync)

    async def one(i: int) -> None:
        spool.append(PREDICTION, b"k%d" % i, b"v")
        size = spool.size_bytes
        await spool.synced()
        assert synced[-1] >= size

    for _ in range(5):
        await asyncio.gather(*(one(i) for i in range(20)))
    assert len(synced) < 20


def sizes(folder: Path) -> dict[int, int]:
    """Size of each segment by its inode."""
    return {file.stat().st_ino: file.stat().st_size for file in sorted(folder.glob("*.spool"))}


async def test_with_fsync_no_request_is_answered_before_its_segment_and_its_name_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20, fsync=True, segment_bytes=4_096)
    synced: dict[int, int] = {}
    folders: list[int] = []

    def sync(file: int) -> None:
        found = os.fstat(file)
        if stat.S_ISDIR(found.st_mode):
            folders.append(len(sizes(tmp_path)))
        else:
            synced[found.st_ino] = found.st_size

    monkeypatch.setattr(os, "fdatasync", sync)

    async def one(i: int) -> None:
        spool.append(PREDICTION, b"k%d" % i, b"v" * 500)
        written = sizes(tmp_path)
        await spool.synced()
        assert all(synced.get(inode, 0) >= size for inode, size in written.items())
        assert folders
        assert folders[-1] >= len(written)

    for _ in range(10):
        await asyncio.gather(*(one(i) for i in range(10)))
    assert len(sizes(tmp_path)) > 5
    assert 2 <= len(folders) < 100


@pytest.mark.parametrize("failing", ["ended segment", "folder", "newest segment"])
async def test_a_sync_that_fails_when_a_segment_ends_is_reported_to_every_request_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20, fsync=True, segment_bytes=4_096)
    [first] = sizes(tmp_path)
    broken = True

    def sync(file: int) -> None:
        found = os.fstat(file)
        kind = (
            "folder" if stat.S_ISDIR(found.st_mode) else "ended segment" if found.st_ino == first else "newest segment"
        )
        if broken and kind == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", sync)

    async def one(i: int) -> str:
        spool.append(PREDICTION, b"k%d" % i, b"v" * 500)
        try:
            await spool.synced()
        except SpoolUnwritable:
            return "refused"
        return "durable"

    assert set(await asyncio.gather(*(one(i) for i in range(12)))) == {"refused"}
    assert "Input/output error" in spool.trouble
    broken = False
    assert await one(99) == "durable"
    spool.close()


async def test_a_slow_disk_does_not_block_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20, fsync=True, segment_bytes=4_096)
    ready = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda file: ready.wait(20))

    async def one() -> None:
        spool.append(PREDICTION, b"k", b"v" * 500)
        await spool.synced()

    waiting = [asyncio.create_task(one()) for _ in range(30)]
    await eventually(lambda: spool.next_position == 30)  # the loop runs on, over several ends of segments
    assert not any(task.done() for task in waiting)
    ready.set()
    await asyncio.gather(*waiting)
