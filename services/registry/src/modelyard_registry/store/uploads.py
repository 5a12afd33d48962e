"""Bytes on their way in: verified before anybody can see them."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from modelyard_registry.domain.errors import WrongDigest
from modelyard_registry.store.sealing import MasterKeys, Sealing
from modelyard_registry.store.writing import Writer, unchanged
from modelyard_runtime.errors import Invalid, Unavailable


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


class PartFile:
    """Bytes that are being received into a file below `parts`, hashed on their way; encrypted under `keys`, if any.

    They are written in another thread than the caller's, which hashes. binding: what the encryption is bound to: the
    digest, where it is known.
    """

    def __init__(self, binding: str, parts: Path, max_bytes: int, keys: MasterKeys | None) -> None:
        self._parts, self._max_bytes = parts, max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._sealing = None if keys is None else Sealing(keys, binding)
        with disk(parts):
            # close or abandon closes it: an upload spans many awaits, so a `with` cannot hold it
            self._file = NamedTemporaryFile(dir=parts, prefix="upload-", delete=False)  # noqa: SIM115
            if self._sealing is not None:
                self._file.write(self._sealing.header)
        self._writer = Writer(self._file, unchanged if self._sealing is None else self._sealing.add)

    @property
    def path(self) -> Path:
        return Path(self._file.name)

    @property
    def size_bytes(self) -> int:
        """Of what was received, before encryption."""
        return self._size

    @property
    def digest(self) -> str:
        """Of what was received so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, chunk: bytes) -> None:
        """Append; BlobTooLarge past the limit, StorageFull when the disk is full."""
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise BlobTooLarge(self._max_bytes)
        with disk(self._parts):
            self._writer.add(chunk)
        self._hash.update(chunk)

    def close(self) -> None:
        """Everything was received: on the disk when this returns."""
        with disk(self._parts):
            self._writer.wait()
            if self._sealing is not None:
                self._file.write(self._sealing.last())
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Remove what was written; does nothing once the file was moved away."""
        with suppress(OSError):
            self._writer.wait()
        with suppress(OSError):  # closing flushes, and on a full disk fails again
            self._file.close()
        self.path.unlink(missing_ok=True)


class Upload:
    """A blob that is being received: write, then finish or abandon.

    keep: takes the verified file and its digest, and returns True when the blob is new. keys: encrypt what is written;
    the unencrypted bytes are never on the disk.
    """

    def __init__(
        self, digest: str, parts: Path, max_bytes: int, keep: Callable[[Path, str], bool], keys: MasterKeys | None
    ) -> None:
        self._digest, self._parts, self._keep = digest, parts, keep
        self._part = PartFile(digest, parts, max_bytes, keys)
        self.write, self.abandon = self._part.write, self._part.abandon

    def finish(self) -> bool:
        """Verify and store; True when the blob is new. WrongDigest stores nothing."""
        if self._part.digest != self._digest:
            raise WrongDigest(self._digest, self._part.digest)
        self._part.close()
        with disk(self._parts):
            return self._keep(self._part.path, self._digest)


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Report a full disk as StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(folder) from error
        raise
