"""A `model.tar.gz` as SageMaker has it, unpacked within limits: plain files with names that a manifest can hold."""

import os
import re
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Final

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.manifest import FILE_PATH
from modelyard_own.errors import UnfitModel
from modelyard_own.files import MAX_FILES

CHUNK_BYTES: Final = 1 << 20
MAX_BYTES: Final = 64 << 30
"""Of all members together, unless stated."""
MIB: Final = 1 << 20
SUFFIXES: Final = (".tar.gz", ".tgz")


def unpacked_tar(archive: Path, to: Path, max_bytes: int = MAX_BYTES) -> Path:
    """Unpack into a new folder and return the model's file or folder; UnfitModel names a member that cannot be taken.

    max_bytes: of all members together. The members get the time of the archive, so that it is one model every time.
    """
    left = max_bytes
    to.mkdir(parents=True)
    times = (archive.stat().st_mtime,) * 2
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for count, member in enumerate(opened):
                if count == MAX_FILES:
                    raise UnfitModel(f"{archive.name}: has more than {MAX_FILES:,} members")
                left -= member.size
                if left < 0:
                    raise UnfitModel(f"{archive.name}: unpacks to more than {max_bytes / MIB:,.0f} MiB")
                _write(opened, member, to, times)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise UnfitModel(f"{archive.name}: is a damaged archive ({error}); pack the model again") from error
    found = list(to.iterdir())
    return found[0] if len(found) == 1 else to


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, to: Path, times: tuple[float, float]) -> None:
    name = member.name.removeprefix("./").rstrip("/")
    if member.isdir() or any(part.startswith("._") for part in name.split("/")):
        return
    if not member.isreg():
        raise UnfitModel(f"member {shown(name)} is no plain file; put a copy of it in the archive")
    if not re.fullmatch(FILE_PATH, name) or {"", ".", ".."} & set(name.split("/")):
        raise UnfitModel(f"member {shown(name)} has a name that no version can hold; rename it")
    source, path = opened.extractfile(member), to / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        assert source is not None  # noqa: S101  a regular file has content
        shutil.copyfileobj(source, target, CHUNK_BYTES)
    os.utime(path, times)
