"""Hashing and storing a blob of 100 MB, and scanning it, beside the same bytes written and hashed with nothing else."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from modelyard_admission import scan_isolated
from modelyard_contracts.admission import ScanVerdict
from modelyard_contracts.manifest import digest_of
from modelyard_registry.store.blobs import StoredBlobs
from modelyard_registry.store.folder import FolderObjects

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

MIB = 1 << 20
SIZE_MIB = 100
ROUNDS = 25
LEAST_RATE = 0.8
MOST_SCAN_S = 5.0


@pytest.fixture(scope="module")
def chunks() -> list[bytes]:
    return [os.urandom(MIB) for _ in range(SIZE_MIB)]


class Times:
    """Wall and CPU times of one piece of work, in seconds."""

    def __init__(self) -> None:
        self.walls: list[float] = []
        self.cpus: list[float] = []

    def measure(self, work: Callable[[], object]) -> None:
        started, cpu = time.perf_counter(), time.process_time()
        work()
        self.walls.append(time.perf_counter() - started)
        self.cpus.append(time.process_time() - cpu)

    @property
    def wall(self) -> float:
        return min(self.walls)

    @property
    def cpu(self) -> float:
        return sorted(self.cpus)[len(self.cpus) // 2]


def raw_write(folder: Path, chunks: list[bytes]) -> None:
    with (folder / "raw").open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def raw_hash(chunks: list[bytes]) -> None:
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)


def both(folder: Path, chunks: list[bytes]) -> None:
    """The least that must be done, with nothing in between: the slower of disk and hash, on the cores that are free."""
    hashing = Thread(target=raw_hash, args=(chunks,))
    hashing.start()
    raw_write(folder, chunks)
    hashing.join()


def test_a_blob_is_hashed_and_stored_at_the_rate_of_the_slower_of_disk_and_hash(
    tmp_path: Path, chunks: list[bytes]
) -> None:
    """In turn, so that other work on the machine meets all of them. CPU fails the test: wall times need free cores."""
    blobs = StoredBlobs(FolderObjects(tmp_path / "objects"), tmp_path / "parts", max_bytes=1 << 40)
    digest = digest_of(b"".join(chunks))
    write, hashing, floor, store = Times(), Times(), Times(), Times()
    for _ in range(ROUNDS):
        write.measure(lambda: raw_write(tmp_path, chunks))
        hashing.measure(lambda: raw_hash(chunks))
        floor.measure(lambda: both(tmp_path, chunks))
        store.measure(lambda: blobs.put(digest, chunks))
        blobs.trash(digest)
        blobs.discard(digest)
    print(
        f"\n{SIZE_MIB} MiB, best wall of {ROUNDS}: write, fsync {write.wall:.3f} s, sha256 {hashing.wall:.3f} s, both "
        f"at once {floor.wall:.3f} s, hash and store {store.wall:.3f} s: {floor.wall / store.wall:.0%} of both, "
        f"{max(write.wall, hashing.wall) / store.wall:.0%} of the slower one alone; CPU {floor.cpu:.3f} and "
        f"{store.cpu:.3f} s: {floor.cpu / store.cpu:.0%}"
    )
    assert floor.cpu / store.cpu >= LEAST_RATE


def test_a_model_of_100_mb_is_scanned_within_five_seconds(tmp_path: Path, chunks: list[bytes]) -> None:
    """As the registry scans: in a process of its own."""
    import numpy as np
    from safetensors.numpy import save_file

    values = np.frombuffer(b"".join(chunks), dtype=np.uint8)
    save_file({f"layer{place}": part for place, part in enumerate(np.split(values, 20))}, tmp_path / "m.safetensors")
    np.savez(tmp_path / "m.npz", values)
    for name in ("m.safetensors", "m.npz"):
        (folder := tmp_path / name.partition(".")[2]).mkdir()
        (tmp_path / name).rename(folder / name)
        started, cpu = time.perf_counter(), os.times()
        report = scan_isolated(folder)
        wall = time.perf_counter() - started
        used = sum(os.times()[2:4]) - sum(cpu[2:4])
        print(f"\nscan of {name}, {SIZE_MIB} MiB: {wall:.2f} s wall, {used:.2f} s CPU")
        assert report.verdict is ScanVerdict.SAFE_FORMAT
        assert used < MOST_SCAN_S
