"""Blobs: bytes by their digest, in a folder or a bucket, encrypted or not."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelyard_contracts.manifest import FileEntry
from modelyard_registry.domain.errors import BlobNotFound
from modelyard_registry.domain.names import check_digest
from modelyard_registry.domain.ports import StoredBlob
from modelyard_registry.store import layout
from modelyard_registry.store.intake import Intake
from modelyard_registry.store.objects import Objects
from modelyard_registry.store.sealing import (
    HEADER_BYTES,
    Altered,
    MasterKeys,
    Unsealable,
    sealed_size,
    sealed_span,
    unseal,
)
from modelyard_registry.store.uploads import Upload
from modelyard_runtime.retention import folders

ABANDONED_S: Final = 24 * 3600
"""Age of an interrupted upload whose part file is removed at the next start."""
PLAIN: Final = "sha256"
SEALED: Final = "sealed"
"""Encrypted blobs. They have a prefix of their own, so that no blob can pretend to be one."""
TRASH: Final = "trash"
DAMAGED: Final = "damaged"


class StoredBlobs:
    """`sha256/ab/<hex>`, or `sealed/ab/<hex>` for encrypted blobs. Blocks.

    parts: local folder for uploads in progress. keys: encrypt new blobs; older ones stay readable as they are.
    """

    def __init__(self, objects: Objects, parts: Path, *, max_bytes: int, keys: MasterKeys | None = None) -> None:
        self._objects, self._parts, self._keys = objects, parts, keys
        self._layouts = parts.parent / "layouts"
        self.max_bytes = max_bytes
        self._verified: dict[str, Hashable] = {}
        parts.mkdir(parents=True, exist_ok=True)

    def size(self, digest: str) -> int | None:
        """Bytes of the blob; None when it is missing."""
        found = self._find(digest)
        return None if found is None else found[1]

    def sound(self, digest: str) -> bool:
        """Read every byte, unless this process did and the object is unchanged. A damaged one is moved aside.

        Unsealable, and nothing is moved, when its master key is missing: the bytes may be as they were.
        """
        found = self._find_or_restore(digest)
        if found is None:
            return False
        key, size = found
        mark = self._objects.mark(key)
        if self._verified.get(digest) == mark:
            return True
        if not self._intact(digest, size):
            self._objects.move(key, f"{DAMAGED}/{key.rpartition('/')[2]}-{uuid4().hex[:8]}")
            return False
        self._verified[digest] = mark
        return True

    def upload(self, digest: str) -> Upload:
        """Start to receive a blob."""
        return Upload(check_digest(digest), self._parts, self.max_bytes, self._keep, self._keys)

    def adopt(self, digest: str, store: Callable[[str], None]) -> None:
        """Take bytes that have this digest for certain; store: puts them under the key that it is called with."""
        key = _keys(check_digest(digest))[0]
        store(key)
        self._verified[digest] = self._objects.mark(key)

    def intake(self) -> Intake:
        """Start to receive a blob whose digest is not known yet."""
        return Intake(self._parts, self.max_bytes, self._keep, self.upload, self._keys)

    def put(self, digest: str, chunks: Iterable[bytes]) -> bool:
        """Store a whole blob; True when it is new."""
        upload = self.upload(digest)
        try:
            for chunk in chunks:
                upload.write(chunk)
            return upload.finish()
        except BaseException:
            upload.abandon()
            raise

    def read(self, digest: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` to before `stop`, in chunks; BlobNotFound before the first one."""
        found = self._find_or_restore(digest)
        if found is None:
            raise BlobNotFound(digest)
        key, size = found
        until = size if stop is None else min(stop, size)
        try:
            return self._read(digest, key, size, start, until)
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error

    @contextmanager
    def laid_out(self, files: Sequence[FileEntry]) -> Iterator[Path]:
        """Yield a folder that holds the files under their paths, to read only; BlobNotFound."""
        with layout.laid_out(files, self._layouts, self._place) as folder:
            yield folder

    def stored(self) -> Iterator[StoredBlob]:
        """All blobs, in no order."""
        yield from self._list("")

    def trashed(self) -> Iterator[StoredBlob]:
        """Blobs that were put aside; stored_at is when that happened."""
        yield from self._list(f"{TRASH}/")

    def trash(self, digest: str) -> None:
        """Put a blob aside: it counts as missing, and `restore` brings it back."""
        for key in _keys(digest):
            if self._objects.size(key) is not None:
                self._objects.move(key, f"{TRASH}/{key}")
        self._verified.pop(digest, None)

    def restore(self, digest: str) -> None:
        """Bring back a blob that was put aside; does nothing when it is there."""
        for key in _keys(digest):
            aside = f"{TRASH}/{key}"
            if self._objects.size(key) is None and self._objects.size(aside) is not None:
                self._objects.move(aside, key)

    def discard(self, digest: str) -> None:
        """Delete a blob that was put aside."""
        for key in _keys(digest):
            self._objects.remove(f"{TRASH}/{key}")

    def remove_abandoned(self) -> int:
        """Remove part files of uploads that were interrupted long ago; returns their number."""
        old = [path for path in self._parts.iterdir() if path.stat().st_mtime < time.time() - ABANDONED_S]
        for path in old:
            path.unlink(missing_ok=True)
        for folder in folders(self._layouts):  # links of scans that a crash cut off
            if folder.stat().st_mtime < time.time() - ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)
        return len(old)

    def _place(self, digest: str, target: Path) -> None:
        """Link the blob's file, which costs no bytes; write a copy where that is impossible."""
        found = self._find_or_restore(digest)
        key = found[0] if found is not None else ""
        source = self._objects.local(key) if key.startswith(PLAIN) else None
        try:
            if source is not None:
                os.link(source, target)
                return
        except OSError:  # another file system, or too many links
            pass
        with target.open("wb") as file:
            file.writelines(self.read(digest))

    def _find(self, digest: str) -> tuple[str, int] | None:
        """Key and size of the blob."""
        for key in _keys(check_digest(digest)):
            size = self._objects.size(key)
            if size is not None:
                return key, sealed_size(size) if key.startswith(SEALED) else size
        return None

    def _find_or_restore(self, digest: str) -> tuple[str, int] | None:
        """The same; a blob that was put aside although it is still needed comes back."""
        found = self._find(digest)
        if found is None:
            self.restore(digest)
            found = self._find(digest)
        return found

    def _keep(self, part: Path, digest: str) -> bool:
        plain, sealed = _keys(digest)
        key = plain if self._keys is None else sealed
        new = self._find(digest) is None
        self._objects.put(key, part)
        self._verified[digest] = self._objects.mark(key)
        return new

    def _intact(self, digest: str, size: int) -> bool:
        found, length = hashlib.sha256(), 0
        try:
            for chunk in self.read(digest):
                found.update(chunk)
                length += len(chunk)
        except Altered:
            return False
        return f"sha256:{found.hexdigest()}" == digest and length == size

    def _read(self, digest: str, key: str, size: int, start: int, stop: int) -> Iterator[bytes]:
        if not key.startswith(SEALED):
            return self._objects.read(key, start, stop)
        if self._keys is None:
            raise Unsealable(f"{digest} is encrypted; set ARTIFACT_KEY_FILE to the file with its master key")
        header = b"".join(self._objects.read(key, 0, HEADER_BYTES))
        first, begin, end = sealed_span(start, stop, size)
        body = self._objects.read(key, begin, end)
        return unseal(self._keys, digest, header, body, first=first, start=start, stop=stop, size=size)

    def _list(self, prefix: str) -> Iterator[StoredBlob]:
        for kind in (PLAIN, SEALED):
            for found in self._objects.list(f"{prefix}{kind}"):
                size = sealed_size(found.size_bytes) if kind == SEALED else found.size_bytes
                yield StoredBlob(f"sha256:{found.key.rpartition('/')[2]}", size, found.stored_at)


def _keys(digest: str) -> tuple[str, str]:
    """Keys of a blob: as it is, and encrypted."""
    hexadecimal = digest.removeprefix("sha256:")
    return f"{PLAIN}/{hexadecimal[:2]}/{hexadecimal}", f"{SEALED}/{hexadecimal[:2]}/{hexadecimal}"
