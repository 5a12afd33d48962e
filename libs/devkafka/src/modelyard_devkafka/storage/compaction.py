"""Compaction: keep only the latest record of each key in closed segments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_devkafka.storage import batch as batches
from modelyard_devkafka.storage.batch import Header
from modelyard_devkafka.storage.partition import Aborted, Partition
from modelyard_devkafka.storage.segment import Segment

_CLEANED: Final = ".cleaned"  # being written; worthless after a crash
SWAP: Final = ".swap"  # complete; replaces the segments that it covers


@dataclass(frozen=True)
class Plan:
    """Immutable input of one pass."""

    segments: tuple[Segment, ...]
    aborted: tuple[Aborted, ...]
    drop_tombstones_before_ms: int


def plan(partition: Partition, now_ms: int) -> Plan | None:
    """Return the closed segments below the last stable offset, if enough of them is new."""
    stable = partition.last_stable_offset
    closed = [s for s in partition.segments[:-1] if s.next_offset <= stable]
    dirty = sum(segment.size for segment in closed if not segment.cleaned)
    if not dirty or dirty < partition.config.dirty_ratio * sum(segment.size for segment in closed):
        return None
    before = now_ms - partition.config.delete_retention_ms
    return Plan(tuple(closed), tuple(partition.aborted), before)


async def compact(partition: Partition, now_ms: int, alive: Callable[[], bool]) -> bool:
    """Compact if due; reading and writing run in a thread, the exchange on the event loop.

    alive: returns whether the topic still exists when the thread has finished.
    """
    todo = plan(partition, now_ms)
    if todo is None:
        return False
    new = await asyncio.to_thread(rewrite, todo, partition.folder)
    unchanged = alive() and partition.segments[: len(todo.segments)] == list(todo.segments)
    if not unchanged:
        new.path.unlink(missing_ok=True)
        return False
    exchange(partition, todo, new)
    return True


def rewrite(todo: Plan, folder: Path) -> Segment:
    """Write the remaining records of all segments into one new file."""
    latest = _latest_offsets(todo)
    new = Segment(folder / f"{todo.segments[0].base_offset:020d}{_CLEANED}", todo.segments[0].base_offset)
    new.path.unlink(missing_ok=True)
    new.path.touch()
    try:
        for batch, header in _committed_batches(todo):
            if kept := _kept(batch, header, latest, todo):
                new.append(kept, batches.header_at(kept), now_ms=0)
    finally:
        new.close()
    return new


def _batches(todo: Plan) -> Iterator[tuple[bytes, Header]]:
    for segment in todo.segments:
        for position, header in segment.walk():
            yield segment.read(position, header.size), header


def _committed_batches(todo: Plan) -> Iterator[tuple[bytes, Header]]:
    """Yield batches without markers and aborted records; all transactions in them have ended."""
    for batch, header in _batches(todo):
        aborted = header.transactional and any(
            a.producer_id == header.producer_id and a.first_offset <= header.base_offset < a.last_offset
            for a in todo.aborted
        )
        if not header.control and not aborted:
            yield batch, header


def _latest_offsets(todo: Plan) -> dict[bytes, int]:
    return {record.key: record.offset for batch, _ in _committed_batches(todo) for record in batches.records_of(batch)}


def _kept(batch: bytes, header: Header, latest: dict[bytes, int], todo: Plan) -> bytes | bytearray | None:
    records = list(batches.records_of(batch))
    keep = [
        record
        for record in records
        if latest.get(record.key) == record.offset
        and not (record.value is None and record.timestamp < todo.drop_tombstones_before_ms)
    ]
    if not keep:
        return None
    if len(keep) == len(records) and not header.transactional:
        return batch
    return batches.rebuilt(batch, keep)


def exchange(partition: Partition, todo: Plan, new: Segment) -> None:
    """Replace the old files by the new one. `recover` completes this after a crash."""
    end = todo.segments[-1].next_offset
    swap = new.path.with_suffix(f".{end:020d}{SWAP}")
    new.path.rename(swap)
    for segment in todo.segments:
        segment.delete()
    new.path = swap.rename(partition.folder / f"{new.base_offset:020d}.log")
    new.next_offset, new.cleaned = end, True
    new.first_append_ms = todo.segments[-1].first_append_ms
    partition.segments[: len(todo.segments)] = [new]
    partition.aborted = [a for a in partition.aborted if a.last_offset >= end]


def recover(folder: Path) -> None:
    """Complete an exchange interrupted by a crash; delete unfinished files."""
    for path in folder.glob(f"*{_CLEANED}"):
        path.unlink()
    for swap in folder.glob(f"*{SWAP}"):
        first, end = (int(part) for part in swap.name.removesuffix(SWAP).split("."))
        for path in folder.glob("*.log"):
            if first <= int(path.stem) < end:
                path.unlink()
        swap.rename(folder / f"{first:020d}.log")
