"""Direct uploads into a bucket. The store holds the whole state, so any process can continue after a crash.

`incoming/<digest>-<size>-<caller>` is the key of the multipart upload, then of the unverified object. Only bytes that
were read and have the digest are copied to the key of the blob.
"""

import binascii
import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final

from modelyard_registry.domain.direct import (
    DirectUpload,
    DirectUploadUnavailable,
    PartPlan,
    PartUrl,
    PartUrls,
    StoredPart,
    UploadIncomplete,
    UploadNotFound,
    UploadState,
)
from modelyard_registry.domain.names import check_digest
from modelyard_registry.store.blobs import ABANDONED_S, PLAIN, SEALED, TRASH, StoredBlobs
from modelyard_registry.store.multipart import Multipart, Part
from modelyard_registry.store.objects import StoreRefused
from modelyard_registry.store.s3 import S3Objects
from modelyard_registry.store.uploads import BlobTooLarge
from modelyard_registry.store.verification import Verification

INCOMING: Final = "incoming"
UPLOADED: Final = (INCOMING, PLAIN, SEALED, TRASH)
"""Prefixes with uploads of clients, and with uploads and copies of a registry that was killed."""
WAIT_S: Final = 3.0
"""How long a caller waits for the end of a verification before it is asked to come back."""
_TOKEN: Final = re.compile(r"([1-9][0-9]{0,15})~([0-9a-f]{64})~([!-~]{0,2048})")
"""Size, proof, and the store's id of the upload; no id once the store has made an object of it."""


class BucketUploads:
    """Direct uploads of plain blobs. url_expiry_s: for how long a presigned URL works."""

    def __init__(self, blobs: StoredBlobs, objects: S3Objects, multipart: Multipart, url_expiry_s: int) -> None:
        self._blobs, self._objects, self._multipart = blobs, objects, multipart
        self._url_expiry_s = url_expiry_s
        self._lock = Lock()
        self._running: dict[str, Verification] = {}

    def begin(self, digest: str, size_bytes: int, identity: str) -> DirectUpload:
        plan, key = PartPlan(size_bytes), _key(digest, size_bytes, identity)
        if size_bytes > self._blobs.max_bytes:
            raise BlobTooLarge(self._blobs.max_bytes)
        if self._blobs.size(digest) is not None:
            return DirectUpload(UploadState.STORED, plan)
        self._forget(key)
        try:
            store_id = self._multipart.find(key)
            if store_id is None and self._objects.size(key) is not None:  # all parts arrived, then a process ended
                return DirectUpload(UploadState.VERIFYING, plan, self._token(key, size_bytes, ""))
            store_id = store_id or self._multipart.begin(key)
        except StoreRefused as error:  # such as credentials without the rights of multipart uploads
            raise DirectUploadUnavailable(str(error)) from error
        return DirectUpload(UploadState.OPEN, plan, self._token(key, size_bytes, store_id))

    def parts(self, digest: str, token: str, identity: str, after: int, limit: int) -> Sequence[StoredPart]:
        plan, key, store_id = self._open(digest, token, identity)
        found = self._stored(digest, key, store_id, after, limit)
        return [StoredPart(one.number, one.size_bytes) for one in found if _fits(plan, one)]

    def urls(self, digest: str, token: str, identity: str, first: int, count: int) -> PartUrls:
        plan, key, store_id = self._open(digest, token, identity)
        self._stored(digest, key, store_id, 0, 1)  # no URLs for an upload that has ended
        at = datetime.now(UTC)
        urls = [
            PartUrl(number, size, self._multipart.part_url(key, store_id, number, size, at, self._url_expiry_s))
            for number in range(first, min(first + count, plan.parts + 1))
            for size in (plan.size_of(number),)
        ]
        return PartUrls(urls, at + timedelta(seconds=self._url_expiry_s))

    def complete(self, digest: str, token: str, identity: str) -> DirectUpload:
        plan, key, store_id = self._open(digest, token, identity)
        running = self._running.get(key)
        if running is None:
            if self._blobs.size(digest) is not None:
                self._clear(key, store_id)
                return DirectUpload(UploadState.STORED, plan, token, plan.size_bytes)
            self._close(digest, key, store_id, plan)
            running = self._verify(digest, key, plan)
        if not running.wait(WAIT_S):
            return DirectUpload(UploadState.VERIFYING, plan, token, running.read_bytes)
        self._running.pop(key, None)
        running.result()
        return DirectUpload(UploadState.STORED, plan, token, plan.size_bytes)

    def abort(self, digest: str, token: str, identity: str) -> None:
        _, key, store_id = self._open(digest, token, identity)
        self._clear(key, store_id)

    def remove_abandoned(self) -> int:
        """Remove uploads that were begun, also by this process, and unverified objects that arrived, long ago."""
        for key in list(self._running):
            self._forget(key)
        before = datetime.now(UTC) - timedelta(seconds=ABANDONED_S)
        uploads = (one for prefix in UPLOADED for one in self._multipart.open_uploads(f"{prefix}/"))
        old = [one for one in uploads if one.initiated_at < before]
        for one in old:
            with suppress(FileNotFoundError):
                self._multipart.abort(one.key, one.upload_id)
        objects = [one for one in self._objects.list(INCOMING) if one.stored_at < before]
        for found in objects:
            if found.key not in self._running:
                self._objects.remove(found.key)
        return len(old) + len(objects)

    def _stored(self, digest: str, key: str, store_id: str, after: int, limit: int) -> list[Part]:
        try:
            return self._multipart.parts(key, store_id, after, limit) if store_id else []
        except FileNotFoundError as error:
            raise UploadNotFound(digest) from error

    def _close(self, digest: str, key: str, store_id: str, plan: PartPlan) -> None:
        """Make an object of the parts, unless an earlier call did; UploadNotFound when there is neither."""
        try:
            parts = self._all_parts(key, store_id)
            fit = {part.number for part in parts if _fits(plan, part)}
            if missing := [number for number in range(1, plan.parts + 1) if number not in fit]:
                raise UploadIncomplete(missing, plan.parts)
            self._multipart.complete(key, store_id, [part for part in parts if part.number in fit])
        except FileNotFoundError as error:
            if self._objects.size(key) is None and self._blobs.size(digest) is None:
                raise UploadNotFound(digest) from error

    def _all_parts(self, key: str, store_id: str) -> list[Part]:
        if not store_id:
            raise FileNotFoundError(key)
        found: list[Part] = []
        while page := self._multipart.parts(key, store_id, found[-1].number if found else 0):
            found += page
        return found

    def _verify(self, digest: str, key: str, plan: PartPlan) -> Verification:
        """Start to read the object; or join a verification that runs."""
        with self._lock:
            if key not in self._running:
                self._running[key] = Verification(
                    self._blobs, self._objects, self._multipart, key, digest, plan.size_bytes
                ).started()
            return self._running[key]

    def _token(self, key: str, size_bytes: int, store_id: str) -> str:
        """Opaque to clients, with a proof that this caller was given it: not every store checks the key of an id."""
        text = f"{size_bytes}~{self._multipart.proof(key, store_id)}~{store_id}"
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _open(self, digest: str, token: str, identity: str) -> tuple[PartPlan, str, str]:
        """Plan, key and the store's id of an upload."""
        check_digest(digest)
        try:
            text = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)).decode()
        except (UnicodeError, binascii.Error) as error:
            raise UploadNotFound(digest) from error
        found = _TOKEN.fullmatch(text)
        key = _key(digest, int(found[1]), identity) if found else ""
        if found is None or not hmac.compare_digest(found[2], self._multipart.proof(key, found[3])):
            raise UploadNotFound(digest)
        return PartPlan(int(found[1])), key, found[3]

    def _forget(self, key: str) -> None:
        """Drop verifications that ended without a request for their result."""
        running = self._running.get(key)
        if running is not None and running.wait(0):
            self._running.pop(key, None)

    def _clear(self, key: str, store_id: str) -> None:
        if store_id:
            with suppress(FileNotFoundError):
                self._multipart.abort(key, store_id)
        if key not in self._running:
            self._objects.remove(key)


def _fits(plan: PartPlan, part: Part) -> bool:
    return 1 <= part.number <= plan.parts and part.size_bytes == plan.size_of(part.number)


def _key(digest: str, size_bytes: int, identity: str) -> str:
    """The same for every upload of these bytes by this caller, and no other caller's."""
    caller = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return f"{INCOMING}/{check_digest(digest).removeprefix('sha256:')}-{size_bytes}-{caller}"
