"""Files of a model: named, hashed, and read once, so that the bytes checked are the bytes loaded."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelyard_contracts.manifest import FileEntry, ModelManifest, digest_of
from modelyard_flavours.errors import Inadmissible

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
"""Largest file of a flavour that reads its files into memory; others open them by path (version.py)."""


def entry_of(folder: Path, path: str) -> FileEntry:
    """The manifest's line for `folder/path`."""
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path=path, digest=f"sha256:{digest}", size_bytes=(folder / path).stat().st_size)


def read_verified(manifest: ModelManifest, folder: Path, expected: tuple[str, ...]) -> Mapping[str, bytes]:
    """Return path to bytes for exactly the `expected` files; Inadmissible if one is absent, unknown or altered."""
    entries = [entry for entry in manifest.files if entry.path != manifest.example]
    listed = {entry.path for entry in entries}
    for path in sorted(listed.symmetric_difference(expected)):
        problem = "is not a file of this flavour" if path in listed else "is missing in the manifest"
        raise Inadmissible(path, f"{problem}; flavour {manifest.flavour!r} has {', '.join(expected)}")
    return {entry.path: _read(entry, folder) for entry in entries}


def verify_entry(entry: FileEntry, folder: Path) -> None:
    """Check a file of any size without reading it into memory; Inadmissible if it is absent or altered."""
    _plain_file(entry, folder)
    _check_digest(entry, entry_of(folder, entry.path).digest)


def _read(entry: FileEntry, folder: Path) -> bytes:
    if entry.size_bytes > MAX_FILE_BYTES:
        raise Inadmissible(entry.path, f"has {entry.size_bytes} bytes; this flavour reads at most {MAX_FILE_BYTES}")
    data = _plain_file(entry, folder).read_bytes()
    _check_digest(entry, digest_of(data))
    return data


def _plain_file(entry: FileEntry, folder: Path) -> Path:
    path = folder / entry.path
    if path.is_symlink() or not path.is_file():
        raise Inadmissible(entry.path, f"is not a plain file in {folder}")
    if path.stat().st_size != entry.size_bytes:
        raise Inadmissible(entry.path, f"has {path.stat().st_size} bytes; the manifest has {entry.size_bytes}")
    return path


def _check_digest(entry: FileEntry, found: str) -> None:
    if found != entry.digest:
        raise Inadmissible(entry.path, f"has the digest {found}; the manifest has {entry.digest}")
