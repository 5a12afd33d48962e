"""Objects in a bucket of S3, or of any store that speaks its protocol."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from modelyard_registry.store.multipart import MAX_COPY_BYTES, Multipart
from modelyard_registry.store.objects import CHUNK_BYTES, StoredObject, StoreUnavailable
from modelyard_runtime.errors import StartupError

PART_BYTES: Final = 8 * 1024 * 1024
"""Of a multipart upload; more for objects above 80 GiB. Memory holds about five parts."""
MAX_PARTS: Final = 10_000
TIMEOUT_S: Final = 30
CONNECT_TIMEOUT_S: Final = 5
MAX_RETRIES: Final = 4
PARALLEL_PARTS: Final = 2
"""Parts of one object that are sent at once; each is in memory."""


class S3Objects:
    """`s3://bucket/prefix`. Credentials and region come from the standard AWS_* variables.

    endpoint: URL of another store than AWS, addressed by path (`endpoint/bucket/key`); None for AWS. multipart: its
    own calls; None without static credentials, and then objects above 5 GiB cannot be moved.
    """

    def __init__(self, url: str, endpoint: str | None, multipart: Multipart | None = None) -> None:
        """StartupError when the URL or the credentials cannot be used, or the extra is not installed."""
        self._url, self._multipart = url, multipart
        try:
            import obstore
            from obstore.exceptions import BaseError
        except ImportError as error:
            raise StartupError(
                "ARTIFACT_URL: s3:// needs the package obstore; pip install 'modelyard-registry[s3]'"
            ) from error
        self._obstore, self._error = obstore, BaseError
        self._store = self._opened(endpoint)

    def _opened(self, endpoint: str | None) -> Any:
        from obstore.store import S3Store

        parts = urlsplit(self._url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.username:
            raise StartupError(f"ARTIFACT_URL: {self._url!r} must be s3://bucket or s3://bucket/prefix")
        options: dict[str, Any] = {
            "client_options": {"timeout": f"{TIMEOUT_S}s", "connect_timeout": f"{CONNECT_TIMEOUT_S}s"},
            "retry_config": {"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=TIMEOUT_S)},
        }
        if endpoint is not None:
            options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
            options["client_options"]["allow_http"] = endpoint.startswith("http://")
        try:
            return S3Store(parts.netloc, prefix=parts.path.strip("/") or None, **options)
        except self._error as error:
            raise StartupError(f"ARTIFACT_URL: {self._url}: {str(error).splitlines()[0]}") from error

    def put(self, key: str, part: Path) -> None:
        part_bytes = max(PART_BYTES, -(-part.stat().st_size // MAX_PARTS))
        with self._reaching(), part.open("rb") as file:
            self._obstore.put(self._store, key, file, chunk_size=part_bytes, max_concurrency=PARALLEL_PARTS)
        part.unlink()

    def size(self, key: str) -> int | None:
        try:
            return int(self._head(key)["size"])
        except FileNotFoundError:
            return None

    def mark(self, key: str) -> Hashable:
        found = self._head(key)
        return found["e_tag"], found["size"], found["last_modified"]

    def etag(self, key: str) -> str:
        """The store's mark of the bytes. FileNotFoundError without the object."""
        return str(self._head(key)["e_tag"])

    def read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        if start >= stop:
            return iter(())
        with self._reaching():
            answer = self._obstore.get(self._store, key, options={"range": (start, stop)})
        return self._chunks(answer)

    def _chunks(self, answer: Any) -> Iterator[bytes]:
        with self._reaching():
            for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def local(self, key: str) -> Path | None:
        return None

    def move(self, key: str, to: str) -> None:
        found = self._head(key) if self._multipart is not None else None
        if self._multipart is not None and found is not None and found["size"] > MAX_COPY_BYTES:
            self._multipart.copy(key, to, found["size"], found["e_tag"])
            self.remove(key)
            return
        with self._reaching():
            self._obstore.rename(self._store, key, to)

    def remove(self, key: str) -> None:
        with self._reaching():
            self._obstore.delete(self._store, key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._reaching():
            for batch in self._obstore.list(self._store, f"{prefix}/"):
                for found in batch:
                    yield StoredObject(found["path"], found["size"], found["last_modified"])

    def _head(self, key: str) -> Any:
        with self._reaching():
            return self._obstore.head(self._store, key)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise StoreUnavailable(self._url, error) from error
