"""Bytes by digest."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import overload

import httpx

from modelyard.blobs import CHUNK_BYTES, BlobCache, file_digest, place, write_verified
from modelyard.errors import ApiError, DigestMismatch
from modelyard.registry.paths import PagedClient
from modelyard_contracts.manifest import digest_of


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

    def upload(self, digest: str, source: Path | bytes) -> None:
        """Upload without asking whether it is there."""
        if isinstance(source, bytes):
            self.request("PUT", f"/v1/blobs/{digest}", content=source)
            return
        with source.open("rb") as file:
            self.request("PUT", f"/v1/blobs/{digest}", content=file)

    def _stream(self, digest: str) -> Iterator[bytes]:
        try:
            with self._http.stream("GET", f"/v1/blobs/{digest}") as response:
                if not response.is_success:
                    response.read()
                    raise ApiError.of(response)
                yield from response.iter_bytes(CHUNK_BYTES)
        except httpx.HTTPError as error:
            raise ApiError.unreachable(self.base_url, error) from error

    def place_blob(self, digest: str, target: Path) -> None:
        """Write the bytes to `target`, from the cache if it has them; a correct file stays."""
        if target.is_file() and file_digest(target) == digest:
            return
        if self._cache is None:
            self.get_blob(digest, target)
            return
        cached = self._cache.find(digest) or self.get_blob(digest, self._cache.path_of(digest))
        place(cached, target, digest)
