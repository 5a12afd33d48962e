"""The log of predictions and labels, as the use cases see it; spool/ implements the port."""

from collections.abc import Sequence
from typing import Protocol

from modelyard_router.domain.errors import SpoolFull


class PredictionLog(Protocol):
    """Where a record is before its request is answered."""

    fsync: bool
    """Whether an answer waits until its record is on the disk."""

    @property
    def full(self) -> bool: ...

    def full_error(self) -> SpoolFull:
        """The error to raise while `full`."""

    def append(self, kind: int, key: bytes, value: bytes, trace: bytes = b"") -> None:
        """Write one record; SpoolFull when it was not written."""

    def append_all(self, kind: int, records: Sequence[tuple[bytes, bytes]], trace: bytes = b"") -> None:
        """Write all (key, value) or none of them."""

    async def synced(self) -> None:
        """Return once everything appended is on the disk; at once unless `fsync`."""
