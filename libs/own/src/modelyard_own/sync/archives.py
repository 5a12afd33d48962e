"""A `model.tar.gz`, unpacked within limits: plain files with names that a manifest can hold."""

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
"""Of all members together."""


def unpacked_tar(archive: Path, to: Path) -> Path:
    """Unpack into a folder and return the model's file or folder; UnfitModel names a member that cannot be taken."""
    left = MAX_BYTES
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for count, member in enumerate(opened):
                if count == MAX_FILES:
                    raise UnfitModel(f"{archive.name}: has more than {MAX_FILES:,} members")
                left -= member.size
                if left < 0:
                    raise UnfitModel(f"{archive.name}: unpacks to more than {MAX_BYTES >> 30} GiB")
                _write(opened, member, to)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise UnfitModel(f"{archive.name}: is a damaged archive ({error}); pack the model again") from error
    found = list(to.iterdir())
    return found[0] if len(found) == 1 else to


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, to: Path) -> None:
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
