"""Memory stays constant while a file of 5 GiB is uploaded: to a folder, and to a bucket through or past the registry.

BENCH_UPLOAD_GIB: another size. Needs four times the size on the disk of the temporary folder.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard_devstack.testing.memory import forget_peak, peak_bytes
from modelyard_registry.testing import ADMIN_KEY

from .test_process import NO_BROKER, Service

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

SCRIPTS = Path(__file__).parent / "scripts"
MIB = 1 << 20
SIZE_MIB = int(float(os.environ.get("BENCH_UPLOAD_GIB", "5")) * 1024)
MOST_GROWTH_BYTES = 64 * MIB
WAYS = {"folder": {}, "bucket": {"ARTIFACT_DIRECT_UPLOADS": "false"}, "bucket, direct": {}}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Bytes that no file system or network can shrink."""
    path = tmp_path_factory.mktemp("large") / "weights.bin"
    block = bytearray(os.urandom(MIB))
    with path.open("wb") as written:
        for number in range(SIZE_MIB):
            block[:8] = number.to_bytes(8, "big")
            written.write(block)
    yield path
    path.unlink()


@pytest.mark.parametrize("way", WAYS)
def test_memory_does_not_grow_with_the_file(way: str, tmp_path: Path, file: Path, disk_s3: str, loopback: None) -> None:
    bucket = {
        "ARTIFACT_URL": "s3://models/artifacts",
        "ARTIFACT_ENDPOINT_URL": disk_s3,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    (small := tmp_path / "small").write_bytes(os.urandom(MIB))
    service = Service(tmp_path, NO_BROKER, **({} if way == "folder" else bucket), **WAYS[way]).start()
    try:
        with service.client as client:
            client.put_blob(small.read_bytes() + b"warm up")
        before = forget_peak(service.pid)
        command = [
            sys.executable,
            str(SCRIPTS / "upload_once.py"),
            str(service.address),
            ADMIN_KEY,
            str(file),
            str(small),
        ]
        sent = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=1500).stdout)
        growth = peak_bytes(service.pid) - before
        with service.client as client:
            assert client.has_blob(sent["digest"])
    finally:
        service.kill()
    print(
        f"\n{way}: {SIZE_MIB} MiB in {sent['wall_s']:.1f} s ({SIZE_MIB / sent['wall_s']:.0f} MiB/s); "
        f"memory above idle: registry {growth / MIB:.0f} MiB (idle {before / MIB:.0f}), "
        f"client {sent['growth_bytes'] / MIB:.0f} MiB"
    )
    assert growth <= MOST_GROWTH_BYTES
    assert sent["growth_bytes"] <= MOST_GROWTH_BYTES


@pytest.fixture(autouse=True)
def disk_space(tmp_path: Path) -> Iterator[None]:
    """Leave nothing behind: pytest keeps the folders of its last runs."""
    yield
    for folder in ("disk-s3", "data"):
        for path in (tmp_path / folder).rglob("*"):
            if path.is_file():
                path.unlink()
