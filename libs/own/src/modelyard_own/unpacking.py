"""A zip archive with a model's folder, unpacked within limits: plain files with plain names only."""

import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from modelyard_contracts.inference.errors import shown
from modelyard_own.errors import UnfitModel

MAX_MEMBERS: Final = 10_000
CHUNK_BYTES: Final = 1 << 20
MIB: Final = 1 << 20
NOT_UNPACKED: Final = frozenset({"__MACOSX", "__pycache__"})


def unpacked(archive: Path, to: Path, max_bytes: int) -> Path:
    """Unpack into a new folder below `to` and return the model's folder; UnfitModel names a member to leave out.

    max_bytes: of all members together. A single folder that holds everything else is the model's.
    """
    root = to / (archive.stem or "model")
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_members(archive, opened, max_bytes))
            for member in members:
                _write(opened, member, root, archive)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        if isinstance(error, UnfitModel):
            raise
        raise UnfitModel(f"{archive}: is a damaged or unusual zip archive ({error}); pack the folder again") from error
    return _inner(root)


def _members(archive: Path, opened: zipfile.ZipFile, max_bytes: int) -> Iterator[zipfile.ZipInfo]:
    """The files of an archive, after all of its names and sizes were checked."""
    infos = opened.infolist()
    if len(infos) > MAX_MEMBERS:
        raise UnfitModel(f"{archive}: has {len(infos):,} members; at most {MAX_MEMBERS:,} are allowed")
    if (size := sum(info.file_size for info in infos)) > max_bytes:
        raise UnfitModel(
            f"{archive}: unpacks to {size / MIB:,.0f} MiB; at most {max_bytes / MIB:,.0f} MiB are allowed here"
        )
    files = [info for info in infos if not info.is_dir() and not _ignored(info)]
    if not files:
        raise UnfitModel(f"{archive}: has no file; pack the folder of a model")
    seen: set[str] = set()
    for info in files:
        _check(archive, info, seen)
        yield info


def _ignored(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename).parts
    return any(part in NOT_UNPACKED or (part.startswith(".") and part != "..") for part in parts)


def _check(archive: Path, info: zipfile.ZipInfo, seen: set[str]) -> None:
    name, mode = info.filename, info.external_attr >> 16
    if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts or not name.isprintable():
        raise UnfitModel(f"{archive}: member {shown(name)} has a path that leads elsewhere; pack the folder again")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise UnfitModel(f"{archive}: member {shown(name)} is no plain file; put a copy of it in the archive")
    if info.flag_bits & 1:
        raise UnfitModel(f"{archive}: member {shown(name)} is encrypted; pack the folder without a password")
    if name in seen:
        raise UnfitModel(f"{archive}: member {shown(name)} is there twice; pack the folder again")
    seen.add(name)


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path, archive: Path) -> None:
    """Write one member; it has no more bytes than it states, as `zipfile` checks."""
    path = root / member.filename
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as source, path.open("xb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
    except OSError as error:
        raise UnfitModel(f"{archive}: member {shown(member.filename)} cannot be unpacked: {error.strerror}") from error


def _inner(root: Path) -> Path:
    """The only folder of a folder without other files, else the folder."""
    found = list(root.iterdir())
    return found[0] if len(found) == 1 and found[0].is_dir() else root
