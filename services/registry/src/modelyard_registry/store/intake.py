"""Bytes without a stated digest: hashed on their way to the disk, then stored as a blob."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from modelyard_registry.store.sealing import HEADER_BYTES, MasterKeys, sealed_span, unseal
from modelyard_registry.store.uploads import PartFile, Upload

UNKNOWN: Final = "a blob without a digest yet"
"""In place of the digest while an encrypted part file is written."""
CHUNK_BYTES: Final = 1 << 20


class Intake:
    """A blob that is being received: write, then finish or abandon.

    keep: takes the file and its digest. upload: starts an upload, for encrypted blobs: their encryption is bound to the
    digest, so the part file, which is encrypted as well, is read and encrypted again. Memory stays constant.
    """

    def __init__(
        self,
        parts: Path,
        max_bytes: int,
        keep: Callable[[Path, str], bool],
        upload: Callable[[str], Upload],
        keys: MasterKeys | None,
    ) -> None:
        self._keep, self._upload, self._keys = keep, upload, keys
        self._part = PartFile(UNKNOWN, parts, max_bytes, keys)
        self.write, self.abandon = self._part.write, self._part.abandon

    def finish(self) -> tuple[str, int]:
        """Store; returns the digest and the size."""
        digest, size_bytes = self._part.digest, self._part.size_bytes
        self._part.close()
        if self._keys is None:
            self._keep(self._part.path, digest)
        else:
            self._seal_again(self._keys, digest)
        return digest, size_bytes

    def _seal_again(self, keys: MasterKeys, digest: str) -> None:
        upload = self._upload(digest)
        try:
            for chunk in self._plain(keys):
                upload.write(chunk)
            upload.finish()
        finally:
            upload.abandon()
            self.abandon()

    def _plain(self, keys: MasterKeys) -> Iterator[bytes]:
        size = self._part.size_bytes
        with self._part.path.open("rb") as file:
            header = file.read(HEADER_BYTES)
            first, _, _ = sealed_span(0, size, size)
            pieces = iter(lambda: file.read(CHUNK_BYTES), b"")
            yield from unseal(keys, UNKNOWN, header, pieces, first=first, start=0, stop=size, size=size)
