"""Direct uploads: a client sends the parts of a blob to the store itself; the registry verifies the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from modelyard_runtime.errors import Conflict, Invalid, NotFound

MIN_PART_BYTES: Final = 16 * 1024 * 1024
MAX_PARTS: Final = 10_000
"""Limit of S3."""
MIB: Final = 1024 * 1024
MAX_LISTED: Final = 5


class DirectUploadUnavailable(Conflict):
    """This registry cannot offer direct uploads; PUT /v1/blobs/{digest} works."""

    code = "direct_upload_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"direct uploads are not offered: {reason}; send the bytes with PUT /v1/blobs/<digest>")


class UploadNotFound(NotFound):
    code = "upload_not_found"

    def __init__(self, digest: str) -> None:
        super().__init__(f"you have no such upload of {digest}; begin it again with POST /v1/blobs/<digest>/uploads")


class UploadIncomplete(Conflict):
    code = "upload_incomplete"

    def __init__(self, missing: Sequence[int], parts: int) -> None:
        listed = ", ".join(str(number) for number in missing[:MAX_LISTED])
        more = ", ..." if len(missing) > MAX_LISTED else ""
        super().__init__(
            f"{len(missing)} of {parts} parts are missing or have another size than planned: {listed}{more}; "
            "send them, then complete the upload again"
        )


class WrongSize(Invalid):
    """The stored bytes are more or fewer than stated."""

    code = "size_mismatch"

    def __init__(self, stated: int, found: int) -> None:
        super().__init__(f"the upload has {found} bytes, not {stated}; nothing was stored", field="size_bytes")


class UploadState(StrEnum):
    OPEN = "open"
    """Parts are missing."""
    VERIFYING = "verifying"
    """The registry reads the bytes; complete the upload again to see the result."""
    STORED = "stored"
    """The blob exists; nothing is left to do."""


@dataclass(frozen=True)
class PartPlan:
    """How a blob is cut into parts: all of `part_bytes` bytes except the last one. Numbers start at 1."""

    size_bytes: int

    @property
    def part_bytes(self) -> int:
        """Whole MiB, so that there are at most MAX_PARTS parts."""
        least = -(-self.size_bytes // MAX_PARTS)
        return max(MIN_PART_BYTES, -(-least // MIB) * MIB)

    @property
    def parts(self) -> int:
        return -(-self.size_bytes // self.part_bytes)

    def size_of(self, number: int) -> int:
        """Bytes of a part; number: from 1 to `parts`."""
        return min(self.part_bytes, self.size_bytes - (number - 1) * self.part_bytes)


@dataclass(frozen=True)
class DirectUpload:
    """An upload as it is now. token: names it in further calls; None when the blob exists already."""

    state: UploadState
    plan: PartPlan
    token: str | None = None
    verified_bytes: int = 0


@dataclass(frozen=True)
class StoredPart:
    number: int
    size_bytes: int


@dataclass(frozen=True)
class PartUrl:
    """url: takes exactly `size_bytes` bytes by PUT."""

    number: int
    size_bytes: int
    url: str


@dataclass(frozen=True)
class PartUrls:
    urls: Sequence[PartUrl]
    expires_at: datetime


class DirectUploads(Protocol):
    """Uploads of one caller are invisible to others. Blocks; Unavailable while the store does not answer.

    DirectUploadUnavailable where they are not offered, UploadNotFound for a token of another caller or of an upload
    that has ended.
    """

    def begin(self, digest: str, size_bytes: int, identity: str) -> DirectUpload: ...  # resumes an open one
    def parts(self, digest: str, token: str, identity: str, after: int, limit: int) -> Sequence[StoredPart]: ...
    def urls(self, digest: str, token: str, identity: str, first: int, count: int) -> PartUrls: ...
    def complete(self, digest: str, token: str, identity: str) -> DirectUpload: ...  # may be repeated
    def abort(self, digest: str, token: str, identity: str) -> None: ...  # does nothing when it has ended
    def remove_abandoned(self) -> int: ...  # number of uploads that were removed


class NoDirectUploads:
    """Refuses every call. reason: a clause, such as `the blobs lie in a folder`."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def begin(self, digest: str, size_bytes: int, identity: str) -> DirectUpload:
        raise DirectUploadUnavailable(self._reason)

    def parts(self, digest: str, token: str, identity: str, after: int, limit: int) -> Sequence[StoredPart]:
        raise DirectUploadUnavailable(self._reason)

    def urls(self, digest: str, token: str, identity: str, first: int, count: int) -> PartUrls:
        raise DirectUploadUnavailable(self._reason)

    def complete(self, digest: str, token: str, identity: str) -> DirectUpload:
        raise DirectUploadUnavailable(self._reason)

    def abort(self, digest: str, token: str, identity: str) -> None:
        raise DirectUploadUnavailable(self._reason)

    def remove_abandoned(self) -> int:
        return 0
