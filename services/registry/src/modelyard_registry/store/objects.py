"""Where the bytes of blobs lie: the interface of a folder and of a bucket."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from modelyard_runtime.errors import Unavailable

CHUNK_BYTES: Final = 1 << 20


class StoreUnavailable(Unavailable):
    """url: of the store. problem: an exception, or a clause."""

    code = "artifact_store_unavailable"

    def __init__(self, url: str, problem: object) -> None:
        first = str(problem).splitlines()[0][:300]
        super().__init__(f"the artifact store {url} refused or did not answer; nothing was lost, try again: {first}")


class StoreRefused(StoreUnavailable):
    """The store understood the call and does not allow or support it."""


@dataclass(frozen=True)
class StoredObject:
    """One object as a listing shows it."""

    key: str
    size_bytes: int
    stored_at: datetime


class Objects(Protocol):
    """Objects by key, such as `sha256/ab/abcd...`. Blocks.

    An object is complete or absent, even after a power cut. Unavailable while the store does not answer.
    """

    def put(self, key: str, part: Path) -> None:
        """Store a local file; the file may be moved. An object of that key is replaced by equal bytes."""

    def size(self, key: str) -> int | None:
        """Bytes; None when there is no such object."""

    def mark(self, key: str) -> Hashable:
        """Equal as long as the object was not written again. FileNotFoundError without one."""

    def read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` to before `stop`, in chunks. FileNotFoundError without the object."""

    def local(self, key: str) -> Path | None:
        """The file on this machine, to link but not to change; None where objects are not files."""

    def move(self, key: str, to: str) -> None:
        """Rename. FileNotFoundError without the object."""

    def remove(self, key: str) -> None:
        """Delete; does nothing without the object."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose key begins with `prefix/`."""
