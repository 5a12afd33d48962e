"""Send a large file to the registry's bucket directly, in parts by presigned URLs; resumes what was sent before."""

import base64
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import httpx

from modelyard.blobs import CHUNK_BYTES
from modelyard.errors import RETRYABLE_STATUS, ApiError, ApiUnavailable
from modelyard.transport import ApiClient, part

DIRECT_BYTES: Final = 64 * 1024 * 1024
"""Smaller files go through the registry: more calls would cost more than they save."""
PARALLEL: Final = 3
URLS: Final = 100
PART_TIMEOUT: Final = httpx.Timeout(60, connect=5)
PAUSES_S: Final = (0.5, 1.0, 2.0)
"""Before the further attempts of one part."""
RESTARTS: Final = 2
"""An upload that ended at the registry, such as after a day, begins again."""
STALLED_S: Final = 120.0
"""Longest time without progress of the verification."""
COMPLETE_TIMEOUT_S: Final = 60.0
"""The store may take long to make an object of thousands of parts."""
log = logging.getLogger("modelyard")


class StoreUnreachable(Exception):
    """The store took no part at all: it cannot be used from here."""


class UploadEnded(Exception):
    """The store does not know the upload any more."""


@dataclass(frozen=True)
class Open:
    """An upload that accepts parts."""

    path: str
    size_bytes: int
    part_bytes: int
    parts: int

    def size_of(self, number: int) -> int:
        return min(self.part_bytes, self.size_bytes - (number - 1) * self.part_bytes)


class DirectUploader:
    """Uploads of one client. After the first refusal it offers nothing more, so that no file waits again."""

    def __init__(
        self,
        api: ApiClient,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._api, self._pause = api, pause
        self._http = httpx.Client(timeout=PART_TIMEOUT, transport=transport)  # without the API key
        self._off = False

    def close(self) -> None:
        self._http.close()

    def send(self, digest: str, file: Path, size_bytes: int, progress: Callable[[int], None]) -> bool:
        """Return True once the blob is stored, False if it must be sent through the registry.

        progress: called with the bytes that have arrived. ApiUnavailable: repeat it, and the parts that arrived stay.
        """
        if self._off or size_bytes < DIRECT_BYTES:
            return False
        try:
            self._send(digest, file, size_bytes, progress)
        except ApiError as error:
            if not _not_offered(error):
                raise
            self._off = True
        except StoreUnreachable as error:
            self._off = True
            log.warning(
                "the registry's file store cannot be used from here, so files go through the registry: %s", error
            )
        return not self._off

    def _send(self, digest: str, file: Path, size_bytes: int, progress: Callable[[int], None]) -> None:
        path = f"/v1/blobs/{digest}/uploads"
        for attempt in range(RESTARTS + 1):
            begun = self._api.post(path, {"size_bytes": size_bytes})
            if begun["state"] == "stored":
                progress(size_bytes)
                return
            own = f"{path}/{part(begun['upload'])}"
            try:
                if begun["state"] == "open":
                    upload = Open(own, size_bytes, begun["part_bytes"], begun["parts"])
                    Sending(self._api, self._http, upload, file, progress, self._pause).run()
                self._complete(own)
                return
            except StoreUnreachable:
                self._abort(own)
                raise
            except UploadEnded as error:
                if attempt == RESTARTS:
                    raise ApiUnavailable(0, "upload_ended", "the upload ended before its last part", digest) from error

    def _abort(self, path: str) -> None:
        """Leave nothing in the store; the registry removes what stays after a day."""
        with suppress(ApiError):
            self._api.request("DELETE", path)

    def _complete(self, path: str) -> None:
        """Wait until the registry has read every byte."""
        seen, since = -1, time.monotonic()
        while (found := self._ended(path))["state"] != "stored":
            if found["verified_bytes"] > seen:
                seen, since = found["verified_bytes"], time.monotonic()
            elif time.monotonic() - since > STALLED_S:
                raise ApiUnavailable(0, "stalled", "the registry does not verify the upload", f"{seen} bytes so far")

    def _ended(self, path: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._api.post(f"{path}/complete", timeout_s=COMPLETE_TIMEOUT_S)
        except ApiError as error:
            if error.code == "upload_not_found":
                raise UploadEnded from error
            raise
        return found


class Sending:
    """Sends the missing parts of one upload. Memory stays constant: a part is read in pieces, twice."""

    def __init__(
        self,
        api: ApiClient,
        http: httpx.Client,
        upload: Open,
        file: Path,
        progress: Callable[[int], None],
        pause: Callable[[float], object],
    ) -> None:
        self._api, self._http, self._upload, self._file = api, http, upload, file
        self._progress, self._pause = progress, pause
        self._urls: dict[int, str] = {}
        self._lock = Lock()
        self._sent = 0

    def run(self) -> None:
        """StoreUnreachable if the store took no part, now or before; ApiUnavailable if it stopped to."""
        upload = self._upload
        stored = {found["number"]: found["size_bytes"] for found in self._stored()}
        self._add(sum(stored.values()))
        missing = [number for number in range(1, upload.parts + 1) if number not in stored]
        if missing and not stored:  # one part alone shows whether the store can be used
            self._part(missing.pop(0))
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="upload") as pool:
            futures = [pool.submit(self._part, number) for number in missing]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _stored(self) -> Iterator[dict[str, Any]]:
        after: int | None = 0
        while after is not None:
            page = self._api_call("GET", "", params={"after": after})
            yield from page["items"]
            after = page["next_after"]

    def _part(self, number: int) -> None:
        size = self._upload.size_of(number)
        md5 = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces(number):
            md5.update(piece)
        headers = {"content-length": str(size), "content-md5": base64.b64encode(md5.digest()).decode()}
        for pause_s in (*PAUSES_S, None):
            problem = self._attempt(number, headers)
            if problem is None:
                self._add(size)
                return
            if pause_s is not None:
                self._pause(pause_s)
        if self._sent == 0:
            raise StoreUnreachable(problem)
        raise ApiUnavailable(0, "unreachable", "the registry's file store stopped to answer", problem or "")

    def _attempt(self, number: int, headers: dict[str, str]) -> str | None:
        """Send a part once; returns the problem that may pass, and None when it arrived."""
        url = self._url(number)
        host = httpx.URL(url).host
        try:
            answer = self._http.put(url, content=self._pieces(number), headers=headers)
        except httpx.ConnectError as error:
            if self._sent == 0:
                raise StoreUnreachable(f"{host}: {error}") from error
            return f"{host}: {error}"
        except httpx.HTTPError as error:
            return f"{host}: {type(error).__name__}: {error}"
        if answer.is_success:
            return None
        if answer.status_code == 404:
            raise UploadEnded
        if answer.status_code not in RETRYABLE_STATUS:
            with self._lock:
                self._urls.pop(number, None)  # expired, most likely
        return f"{host}: {answer.status_code} {answer.text[:200]}"

    def _url(self, number: int) -> str:
        with self._lock:
            if number not in self._urls:
                page = self._api_call("POST", "/urls", json={"first": number, "count": URLS})
                self._urls = {**{n: url for n, url in self._urls.items() if n < number}, **_by_number(page["items"])}
            return self._urls[number]

    def _api_call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            return self._api.request(method, f"{self._upload.path}{path}", **arguments).json()
        except ApiError as error:
            if error.code == "upload_not_found":
                raise UploadEnded from error
            raise

    def _pieces(self, number: int) -> Iterator[bytes]:
        left = self._upload.size_of(number)
        with self._file.open("rb") as file:
            file.seek((number - 1) * self._upload.part_bytes)
            while left and (piece := file.read(min(CHUNK_BYTES, left))):
                left -= len(piece)
                yield piece

    def _add(self, size: int) -> None:
        with self._lock:
            self._sent += size
            self._progress(self._sent)


def _not_offered(error: ApiError) -> bool:
    """Whether the registry refused as such, or is too old to have the endpoint."""
    missing = error.status in (404, 405) and error.code != "upload_not_found"
    return missing or error.code == "direct_upload_unavailable"


def _by_number(items: list[dict[str, Any]]) -> dict[int, str]:
    return {item["number"]: item["url"] for item in items}
