"""Bytes by digest: hashing, verified writing, and a local cache."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from modelyard.errors import DigestMismatch

CHUNK_BYTES: Final = 1 << 20


def file_digest(path: Path) -> str:
    """`sha256:<hex>` of a file, read in chunks."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def write_verified(chunks: Iterable[bytes], target: Path, digest: str) -> Path:
    """Write a stream to `target` if it has the digest; otherwise DigestMismatch, and `target` is as it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    with NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as part:
        try:
            for chunk in chunks:
                hashed.update(chunk)
                part.write(chunk)
            part.flush()
            _check(target.name, digest, f"sha256:{hashed.hexdigest()}")
            Path(part.name).replace(target)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    return target


def _check(what: str, expected: str, found: str) -> None:
    if found != expected:
        raise DigestMismatch(what, expected, found)


def place(source: Path, target: Path, digest: str) -> Path:
    """Put a cached file where it is needed: a copy of its own, verified, since the cache outlives its readers."""
    with source.open("rb") as file:
        return write_verified(iter(lambda: file.read(CHUNK_BYTES), b""), target, digest)


class BlobCache:
    """A folder of files named by their digest; every hit is verified, a damaged file is thrown away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path_of(self, digest: str) -> Path:
        hexadecimal = digest.removeprefix("sha256:")
        return self._folder / "sha256" / hexadecimal[:2] / hexadecimal

    def find(self, digest: str) -> Path | None:
        path = self.path_of(digest)
        if not path.is_file():
            return None
        os.utime(path)  # first: who removes what is old must see that it is in use
        if file_digest(path) != digest:
            path.unlink(missing_ok=True)
            return None
        return path

    def clear(self) -> None:
        """Remove all of it; it fills again by itself."""
        shutil.rmtree(self._folder, ignore_errors=True)
