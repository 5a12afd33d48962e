"""Files of a model: named, hashed, and read once, so that the bytes checked are the bytes loaded."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelyard_contracts.manifest import FileEntry, ModelManifest, digest_of
from modelyard_flavours.errors import Inadmissible

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
"""Largest file; a larger model needs a flavour that maps its file into memory."""


def entry_of(folder: Path, path: str) -> FileEntry:
    """The manifest's line for `folder/path`."""
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path=path, digest=f"sha256:{digest}", size_bytes=(folder / path).stat().st_size)


def read_verified(manifest: ModelManifest, folder: Path, expected: tuple[str, ...]) -> Mapping[str, bytes]:
    """Return path to bytes for exactly the `expected` files; Inadmissible if one is absent, unknown or altered."""
    listed = {entry.path for entry in manifest.files}
    for path in sorted(listed.symmetric_difference(expected)):
        problem = "is not a file of this flavour" if path in listed else "is missing in the manifest"
        raise Inadmissible(path, f"{problem}; flavour {manifest.flavour!r} has {', '.join(expected)}")
    return {entry.path: _verified(entry, folder) for entry in manifest.files}


def _verified(entry: FileEntry, folder: Path) -> bytes:
    path = folder / entry.path
    if path.is_symlink() or not path.is_file():
        raise Inadmissible(entry.path, f"is not a plain file in {folder}")
    if entry.size_bytes > MAX_FILE_BYTES or path.stat().st_size != entry.size_bytes:
        raise Inadmissible(entry.path, f"has {path.stat().st_size} bytes; the manifest has {entry.size_bytes}")
    data = path.read_bytes()
    if digest_of(data) != entry.digest:
        raise Inadmissible(entry.path, f"has the digest {digest_of(data)}; the manifest has {entry.digest}")
    return data
