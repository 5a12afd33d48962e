"""Read an object that a client sent, and make it a blob if it has the digest."""

import hashlib
import logging
from threading import Event, Semaphore, Thread
from typing import Final, Self

from modelyard_registry.domain.direct import UploadNotFound, WrongSize
from modelyard_registry.domain.errors import WrongDigest
from modelyard_registry.store.blobs import StoredBlobs
from modelyard_registry.store.multipart import Multipart
from modelyard_registry.store.objects import StoreUnavailable
from modelyard_registry.store.s3 import S3Objects
from modelyard_runtime.errors import ModelyardError

_TURNS: Final = Semaphore(2)
"""Verifications at a time: each takes a core and a connection."""
log = logging.getLogger(__name__)


class Verification:
    """One verification in a thread of its own, which ends with the process: another process begins it again."""

    def __init__(
        self, blobs: StoredBlobs, objects: S3Objects, multipart: Multipart, key: str, digest: str, size_bytes: int
    ) -> None:
        self._blobs, self._objects, self._multipart = blobs, objects, multipart
        self._key, self._digest, self._size_bytes = key, digest, size_bytes
        self._done = Event()
        self._error: ModelyardError | None = None
        self.read_bytes = 0

    def started(self) -> Self:
        Thread(target=self._run, name=f"verify-{self._digest[7:15]}", daemon=True).start()
        return self

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended."""
        return self._done.wait(timeout_s)

    def result(self) -> None:
        """Raise the error of a verification that has ended; otherwise the blob exists."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with _TURNS:
                self._verify()
        except ModelyardError as error:
            self._error = error
        except FileNotFoundError:
            self._missing()
        except Exception as error:
            log.exception("verifying an upload of %s failed", self._digest)
            self._error = StoreUnavailable("of the upload", f"{type(error).__name__}: {error}")
        finally:
            self._done.set()

    def _missing(self) -> None:
        """Another process may have made it a blob; otherwise it was aborted."""
        if self._blobs.size(self._digest) is None:
            self._error = UploadNotFound(self._digest)

    def _verify(self) -> None:
        etag, size = self._objects.etag(self._key), self._objects.size(self._key)
        found = self._read(size or 0)
        if size != self._size_bytes or found != self._digest:
            self._objects.remove(self._key)
            if size != self._size_bytes:
                raise WrongSize(self._size_bytes, size or 0)
            raise WrongDigest(self._digest, found)
        # the ETag guards against an upload under the same key that ended while this one was read
        self._blobs.adopt(self._digest, lambda to: self._multipart.copy(self._key, to, self._size_bytes, etag))
        self._objects.remove(self._key)

    def _read(self, size: int) -> str:
        hashed = hashlib.sha256()
        for chunk in self._objects.read(self._key, 0, size):
            hashed.update(chunk)
            self.read_bytes += len(chunk)
        return f"sha256:{hashed.hexdigest()}"
