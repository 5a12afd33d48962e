"""A scan of 100 MB takes seconds, and the scan process starts in a fraction of one; CPU time."""

import pickle
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from libs.admission.tests import corpus

from modelyard_admission import scan
from modelyard_contracts.admission import ScanVerdict

SIZE_BYTES = 100_000_000
MAX_SCAN_CPU_SECONDS = 5.0
MAX_START_CPU_SECONDS = 0.3


def _array() -> bytes:
    return pickle.dumps(np.random.default_rng(1).random(SIZE_BYTES // 8))


def _floats() -> bytes:
    return pickle.dumps([float(number) for number in range(SIZE_BYTES // 9)])


def _torch() -> bytes:
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ" + struct.pack(
        "<i", SIZE_BYTES // 4
    )
    return corpus.torch_zip(b"\x80\x02" + storage + b"tQ.", **{"m/data/0": bytes(SIZE_BYTES)})


def _safetensors() -> bytes:
    return corpus.safetensors({"a": corpus.tensor(0, SIZE_BYTES)}, bytes(SIZE_BYTES))


@pytest.mark.bench
@pytest.mark.parametrize("make", [_array, _floats, _torch, _safetensors])
def test_a_scan_of_100_mb(tmp_path: Path, make: Callable[[], bytes]) -> None:
    (tmp_path / "model").write_bytes(make())

    started = time.process_time()
    report = scan(tmp_path)
    seconds = time.process_time() - started

    print(f"{make.__name__[1:]}: {seconds:.2f} CPU s for {report.files[0].size_bytes:,} bytes")
    assert report.verdict in {ScanVerdict.SAFE_FORMAT, ScanVerdict.ALLOW_LISTED}, report
    assert seconds < MAX_SCAN_CPU_SECONDS


@pytest.mark.bench
def test_start_of_the_scan_process(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps([1]))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = subprocess.run(
        [sys.executable, "-I", "-m", "modelyard_admission", "--json", str(tmp_path)], capture_output=True, check=False
    )

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"start: {seconds:.2f} CPU s")
    assert done.returncode == 0
    assert seconds < MAX_START_CPU_SECONDS
