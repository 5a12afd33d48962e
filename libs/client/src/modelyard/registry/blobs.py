"""Bytes by digest."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import overload

import httpx

from modelyard.blobs import BlobCache, file_digest, place, write_verified
from modelyard.errors import ApiError, DigestMismatch
from modelyard.records import BlobCheck, BlobCollection
from modelyard.registry.direct import DirectUploader
from modelyard.registry.paths import PagedClient
from modelyard_contracts.manifest import digest_of


class CountedFile(io.BufferedReader):
    """A file that reports how many bytes were read."""

    def __init__(self, path: Path, progress: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._progress, self._count = progress, 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._count += len(data)
        self._progress(self._count)
        return data


class BlobsClient(PagedClient):
    """Bytes by digest. `cache_dir` keeps downloaded blobs between downloads; None keeps none."""

    def __init__(
        self,
        base_url: str,
        token: str,
        timeout_s: float = 10.0,
        *,
        cache_dir: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        context: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(base_url, token, timeout_s, transport=transport, context=context)
        self._cache = BlobCache(cache_dir) if cache_dir else None
        self._direct = DirectUploader(self)

    def close(self) -> None:
        self._direct.close()
        super().close()

    def put_blob(self, source: Path | bytes) -> str:
        """Upload unless it is there; returns its digest. The server verifies what arrives."""
        digest = digest_of(source) if isinstance(source, bytes) else file_digest(source)
        if not self.has_blob(digest):
            self.upload(digest, source)
        return digest

    def has_blob(self, digest: str) -> bool:
        try:
            self.request("HEAD", f"/v1/blobs/{digest}")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    @overload
    def get_blob(self, digest: str, to: None = None) -> bytes: ...
    @overload
    def get_blob(self, digest: str, to: Path) -> Path: ...
    def get_blob(self, digest: str, to: Path | None = None) -> bytes | Path:
        """The bytes, or the file `to` with them in it; DigestMismatch when they are not what they should be."""
        if to is not None:
            return write_verified(self._stream(digest), to, digest)
        data = b"".join(self._stream(digest))
        if digest_of(data) != digest:
            raise DigestMismatch("blob", digest, digest_of(data))
        return data

    def upload(self, digest: str, source: Path | bytes, progress: Callable[[int], None] = lambda _: None) -> None:
        """Upload without asking whether it is there; a file is read in pieces. progress: called with the bytes sent.

        A large file goes to the registry's bucket directly where the registry offers it and the bucket can be reached.
        """
        if isinstance(source, bytes):
            self.request("PUT", f"/v1/blobs/{digest}", content=source)
            return
        if self._direct.send(digest, source, source.stat().st_size, progress):
            return
        with CountedFile(source, progress) as file:
            self.request("PUT", f"/v1/blobs/{digest}", content=file)

    def collect_blobs(self, *, apply: bool = False, least_age_hours: float = 24.0) -> BlobCollection:
        """Put blobs aside that no version needs; without `apply` only report them."""
        body = {"apply": apply, "least_age_hours": least_age_hours}
        return BlobCollection.model_validate(self.request("POST", "/v1/blobs/collect", json=body).json())

    def verify_blobs(self, after: str = "", limit: int = 20) -> BlobCheck:
        """Let the server read every byte of the next `limit` blobs that versions have."""
        body = {"after": after, "limit": limit}
        return BlobCheck.model_validate(self.request("POST", "/v1/blobs/verify", json=body).json())

    def _stream(self, digest: str) -> Iterator[bytes]:
        return self.streamed(f"/v1/blobs/{digest}")

    def place_blob(self, digest: str, target: Path) -> None:
        """Write the bytes to `target`, from the cache if it has them; a correct file stays."""
        if target.is_file() and file_digest(target) == digest:
            return
        if self._cache is None:
            self.get_blob(digest, target)
            return
        cached = self._cache.find(digest) or self.get_blob(digest, self._cache.path_of(digest))
        place(cached, target, digest)
