"""Blobs in a folder; each file is named by the digest of its bytes."""

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final
from uuid import uuid4

from modelyard_registry.domain.errors import BlobNotFound, WrongDigest
from modelyard_registry.domain.names import check_digest
from modelyard_runtime.errors import Invalid, Unavailable

ABANDONED_S: Final = 24 * 3600
"""Age of an interrupted upload whose part file is removed at the next start."""


class BlobTooLarge(Invalid):
    code = "blob_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"a blob has at most {max_bytes} bytes (REGISTRY_MAX_BLOB_BYTES)", field="content-length")


class StorageFull(Unavailable):
    code = "storage_full"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"the registry's disk is full: {folder}; nothing was stored. Free space there, then upload again"
        )


class FolderBlobs:
    """`<folder>/sha256/ab/<hex>`; a file is complete or absent, even after a power cut. Blocks."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._parts = folder / "parts"
        self.max_bytes = max_bytes
        self._verified: dict[str, tuple[int, int, int]] = {}
        self._parts.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        hexadecimal = check_digest(digest).removeprefix("sha256:")
        return self._folder / "sha256" / hexadecimal[:2] / hexadecimal

    def size(self, digest: str) -> int | None:
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def sound(self, digest: str) -> bool:
        """Read every byte, unless this process did and the file is unchanged. A damaged file is moved aside."""
        path = self.path(digest)
        try:
            mark = _mark(path)
            if self._verified.get(digest) == mark:
                return True
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return False
        if f"sha256:{found}" != digest:
            path.replace(self._parts / f"damaged-{path.name}-{uuid4().hex[:8]}")
            return False
        self._verified[digest] = mark
        return True

    def upload(self, digest: str) -> "Upload":
        """Start to receive a blob."""
        return Upload(self, check_digest(digest), self._parts)

    def put(self, digest: str, chunks: Iterator[bytes] | list[bytes]) -> bool:
        """Store a whole blob; True when it is new."""
        upload = self.upload(digest)
        try:
            for chunk in chunks:
                upload.write(chunk)
            return upload.finish()
        except BaseException:
            upload.abandon()
            raise

    def open(self, digest: str) -> tuple[Path, int]:
        """The file and its size in bytes; BlobNotFound."""
        size = self.size(digest)
        if size is None:
            raise BlobNotFound(digest)
        return self.path(digest), size

    def keep(self, part: Path, digest: str) -> bool:
        """Move a verified part into place; True when the blob is new."""
        target = self.path(digest)
        new = not target.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        _sync_folder(target.parent)
        self._verified[digest] = _mark(target)
        return new

    def remove_abandoned(self) -> int:
        """Remove part files of uploads that were interrupted long ago; returns their number."""
        old = [path for path in self._parts.iterdir() if path.stat().st_mtime < time.time() - ABANDONED_S]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


class Upload:
    """A blob that is being received: write, then finish or abandon."""

    def __init__(self, blobs: FolderBlobs, digest: str, parts: Path) -> None:
        self._blobs = blobs
        self._digest = digest
        self._hash = hashlib.sha256()
        self._size = 0
        self._parts = parts
        with _disk(parts):
            # finish or abandon closes it: an upload spans many awaits, so a `with` cannot hold it
            self._file = NamedTemporaryFile(dir=parts, prefix="upload-", delete=False)  # noqa: SIM115

    def write(self, chunk: bytes) -> None:
        """Append; BlobTooLarge past the limit, StorageFull when the disk is full."""
        self._size += len(chunk)
        if self._size > self._blobs.max_bytes:
            raise BlobTooLarge(self._blobs.max_bytes)
        self._hash.update(chunk)
        with _disk(self._parts):
            self._file.write(chunk)

    def finish(self) -> bool:
        """Verify and store; True when the blob is new. WrongDigest stores nothing."""
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._digest:
            raise WrongDigest(self._digest, found)
        with _disk(self._parts):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            return self._blobs.keep(Path(self._file.name), self._digest)

    def abandon(self) -> None:
        """Remove what was written; does nothing after finish."""
        with suppress(OSError):  # closing flushes, and on a full disk fails again
            self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Report a full disk as StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(folder) from error
        raise


def _mark(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
