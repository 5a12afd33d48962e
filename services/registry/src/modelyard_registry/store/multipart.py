"""Calls of S3's multipart API that obstore does not have: parts by presigned URL, and copies within the bucket."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import Element, ParseError, fromstring, tostring

import httpx

from modelyard_registry.store.objects import StoreRefused, StoreUnavailable
from modelyard_registry.store.signing import Credentials, Signer

OWN_EXPIRY_S: Final = 300
"""Of the URLs that this process uses at once."""
TIMEOUT: Final = httpx.Timeout(30, connect=5)
COPY_TIMEOUT: Final = httpx.Timeout(300, connect=5)
CONNECT_RETRIES: Final = 2
MAX_COPY_BYTES: Final = 5 * 1024**3
"""S3 copies at most that much in one call."""
COPY_PART_BYTES: Final = 512 * 1024**2
"""Larger objects are copied in parts of this size, so that no call takes minutes."""
PAGE: Final = 1_000
REFUSED: Final = frozenset({400, 401, 403, 405, 501})
ABSENT: Final = frozenset({"NoSuchUpload", "NoSuchKey"})


@dataclass(frozen=True)
class Bucket:
    """`s3://bucket/prefix`, and the URLs by which this process and clients reach it (`endpoint/bucket/key`)."""

    name: str
    prefix: str
    endpoint: str
    public_endpoint: str
    region: str

    @classmethod
    def at(cls, url: str, endpoint: str | None, public_endpoint: str | None) -> Self:
        """url: `s3://bucket/prefix`. endpoint: None for AWS. public_endpoint: None if clients use the same."""
        parts = urlsplit(url)
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        own = (endpoint or f"https://s3.{region}.{domain}").rstrip("/")
        return cls(parts.netloc, parts.path.strip("/"), own, (public_endpoint or own).rstrip("/"), region)

    def path(self, key: str) -> str:
        """Bucket and whole key, quoted; key '': the bucket alone."""
        parts = [self.name, *([self.prefix] if key and self.prefix else []), *([key] if key else [])]
        return quote("/" + "/".join(parts), safe="/-_.~")

    def full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def relative(self, full: str) -> str:
        return full.removeprefix(f"{self.prefix}/") if self.prefix else full


@dataclass(frozen=True)
class Part:
    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True)
class OpenUpload:
    key: str
    upload_id: str
    initiated_at: datetime


class Multipart:
    """Multipart uploads of one bucket. FileNotFoundError without the upload or the object. Blocks."""

    def __init__(self, bucket: Bucket, credentials: Credentials) -> None:
        self._bucket, self._signer = bucket, Signer(credentials, bucket.region)
        self._http = httpx.Client(transport=httpx.HTTPTransport(retries=CONNECT_RETRIES), timeout=TIMEOUT)

    def begin(self, key: str) -> str:
        """Start an upload; returns its id."""
        return _text(self._call("POST", key, {"uploads": ""}), "UploadId")

    def find(self, key: str) -> str | None:
        """Id of an open upload of exactly this key; the first of the listing."""
        return next((one.upload_id for one in self.open_uploads(key) if one.key == key), None)

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Uploads whose key begins with `prefix`. Some stores list those of a whole key only."""
        marks = {"key-marker": "", "upload-id-marker": ""}
        while True:
            query = {"uploads": "", "prefix": self._bucket.full(prefix), **{k: v for k, v in marks.items() if v}}
            page = self._call("GET", "", query)
            for found in page.iterfind("Upload"):
                key, at = self._bucket.relative(_text(found, "Key")), datetime.fromisoformat(_text(found, "Initiated"))
                yield OpenUpload(key, _text(found, "UploadId"), at)
            if page.findtext("IsTruncated") != "true":
                return
            marks = {"key-marker": _text(page, "NextKeyMarker"), "upload-id-marker": _text(page, "NextUploadIdMarker")}

    def proof(self, key: str, upload_id: str) -> str:
        """64 hexadecimal digits that only a process with these credentials can compute."""
        return self._signer.proof(f"{self._bucket.path(key)} {upload_id}")

    def part_url(self, key: str, upload_id: str, number: int, size_bytes: int, at: datetime, expires_s: int) -> str:
        """Return a URL that takes this part from a client by PUT, with exactly this many bytes."""
        url = self._bucket.public_endpoint + self._bucket.path(key)
        query = {"partNumber": str(number), "uploadId": upload_id}
        return self._signer.presigned("PUT", url, at, expires_s, query, {"content-length": str(size_bytes)})

    def parts(self, key: str, upload_id: str, after: int = 0, limit: int = PAGE) -> list[Part]:
        """At most `limit` (1,000) stored parts with a number above `after`, in their order."""
        query = {"uploadId": upload_id, "max-parts": str(limit)} | ({"part-number-marker": str(after)} if after else {})
        page = self._call("GET", key, query)
        found = [
            Part(int(_text(one, "PartNumber")), int(_text(one, "Size")), _text(one, "ETag"))
            for one in page.iterfind("Part")
        ]
        return [one for one in found if one.number > after][:limit]  # not every store keeps to the query

    def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make an object of the parts."""
        body = Element("CompleteMultipartUpload")
        for part in parts:
            element = Element("Part")
            for name, value in (("PartNumber", str(part.number)), ("ETag", part.etag)):
                field = Element(name)
                field.text = value
                element.append(field)
            body.append(element)
        self._call("POST", key, {"uploadId": upload_id}, content=tostring(body), timeout=COPY_TIMEOUT)

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts."""
        self._call("DELETE", key, {"uploadId": upload_id})

    def copy(self, key: str, to: str, size_bytes: int, etag: str) -> None:
        """Copy an object within the bucket, if it is still the one with this ETag."""
        source = {"x-amz-copy-source": self._bucket.path(key), "x-amz-copy-source-if-match": etag}
        if size_bytes <= COPY_PART_BYTES:
            self._call("PUT", to, {}, source, timeout=COPY_TIMEOUT)
            return
        upload_id = self.begin(to)
        try:
            parts = [
                self._copy_part(to, upload_id, number, source, start, min(start + COPY_PART_BYTES, size_bytes))
                for number, start in enumerate(range(0, size_bytes, COPY_PART_BYTES), 1)
            ]
            self.complete(to, upload_id, parts)
        except BaseException:
            self.abort(to, upload_id)
            raise

    def _copy_part(
        self, to: str, upload_id: str, number: int, source: Mapping[str, str], start: int, stop: int
    ) -> Part:
        headers = {**source, "x-amz-copy-source-range": f"bytes={start}-{stop - 1}"}
        query = {"partNumber": str(number), "uploadId": upload_id}
        return Part(number, stop - start, _text(self._call("PUT", to, query, headers, timeout=COPY_TIMEOUT), "ETag"))

    def _call(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None, **more: Any
    ) -> Element:
        url = self._bucket.endpoint + self._bucket.path(key)
        signed = self._signer.presigned(method, url, datetime.now(UTC), OWN_EXPIRY_S, query, headers)
        try:
            answer = self._http.request(method, signed, headers=headers, **more)
        except httpx.HTTPError as error:
            raise StoreUnavailable(self._name, f"{type(error).__name__}: {error}") from error
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> Element:
        """The answer as XML; a success may hold an error, as S3 sends the status of a long call before its end."""
        document = _parsed(answer.content)
        if answer.is_success and document.tag != "Error":
            return document
        code = document.findtext("Code") or ""
        if code in ABSENT:
            raise FileNotFoundError(code)
        refused = answer.status_code in REFUSED
        raise (StoreRefused if refused else StoreUnavailable)(
            self._name, f"{answer.status_code} {code} {document.findtext('Message') or ''}".strip()
        )

    @property
    def _name(self) -> str:
        return f"s3://{self._bucket.name}"


def _parsed(content: bytes) -> Element:
    """Elements without their namespaces; the store is configured by the operator, so its XML is trusted."""
    try:
        document = fromstring(content)  # noqa: S314
    except ParseError:
        return Element("Empty")
    for element in document.iter():
        element.tag = element.tag.rpartition("}")[2]
    return document


def _text(document: Element, name: str) -> str:
    return document.findtext(name) or ""
