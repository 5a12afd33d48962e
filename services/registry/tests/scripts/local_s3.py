"""A bucket of S3 on the local disk for one test: multipart uploads, copies, ranges; bodies are streamed.

`python local_s3.py FOLDER` prints its port. Presigned requests are checked with botocore: another implementation than
the registry's. Requests that obstore signs in a header are not checked.
"""

import hashlib
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from botocore.auth import S3SigV4QueryAuth  # type: ignore[import-untyped]  # has no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

FOLDER: Path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
CHUNK = 1 << 20
SECRET = "test"


class Expected(S3SigV4QueryAuth):  # type: ignore[misc]
    """Signature that botocore computes for a presigned request."""

    def of(self, method: str, url: str, headers: dict[str, str]) -> str:
        request = AWSRequest(method, url, headers=headers)
        query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        request.context["timestamp"] = query["X-Amz-Date"]
        text = self.string_to_sign(request, self.canonical_request(request))
        return str(self.signature(text, request))

    def payload(self, request: Any) -> str:
        return "UNSIGNED-PAYLOAD"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key: str
    query: dict[str, str]

    def do_PUT(self) -> None:
        if (source := self.headers.get("x-amz-copy-source")) is not None:
            self._copy(unquote(source))
            return
        target = self._part() if "uploadId" in self.query else self._object()
        if not target.parent.is_dir():
            self._answer(404, "<Error><Code>NoSuchUpload</Code></Error>")
            return
        etag = self._receive(target)
        wanted = self.headers.get("content-md5")
        self._answer(200 if wanted is None or etag else 400, "", {"etag": f'"{etag}"'})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        if "delete" in self.query:
            keys = re.findall(r"<Key>([^<]*)<", body)
            for self.key in keys:
                self._object().unlink(missing_ok=True)
            self._answer(
                200, f"<DeleteResult>{''.join(f'<Deleted><Key>{key}</Key></Deleted>' for key in keys)}</DeleteResult>"
            )
        elif "uploads" in self.query:
            upload = uuid4().hex
            (folder := FOLDER / "uploads" / upload).mkdir(parents=True)
            (folder / "key").write_text(self.key)
            self._answer(200, f"<R><UploadId>{upload}</UploadId></R>")
        elif not self._upload().is_dir():
            self._answer(404, "<Error><Code>NoSuchUpload</Code></Error>")
        else:
            self._join([int(number) for number in re.findall(r"<PartNumber>(\d+)<", body)])

    def do_GET(self) -> None:
        if "list-type" in self.query:
            self._answer(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        elif "uploads" in self.query:
            self._list_uploads()
        elif "uploadId" in self.query:
            self._list_parts()
        else:
            self._read()

    def do_HEAD(self) -> None:
        self._read(body=False)

    def do_DELETE(self) -> None:
        if "uploadId" in self.query:
            shutil.rmtree(self._upload(), ignore_errors=True)
        else:
            self._object().unlink(missing_ok=True)
        self._answer(204, "")

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        parts = urlsplit(self.path)
        self.key = unquote(parts.path).partition("/")[2].partition("/")[2]
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "X-Amz-Signature" in self.query and not self._signed():
            self.send_error(403, "SignatureDoesNotMatch")
            return False
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def _signed(self) -> bool:
        url = f"http://{self.headers['host']}{self.path}"
        names = self.query["X-Amz-SignedHeaders"].split(";")
        if any(name not in self.headers for name in names):
            return False
        bare = re.sub(r"&X-Amz-Signature=\w+", "", url)
        scope = self.query["X-Amz-Credential"].split("/")
        auth = Expected(Credentials(scope[0], SECRET), "s3", scope[2], 60)
        headers = {name: self.headers[name] for name in names}
        return auth.of(self.command, bare, headers) == self.query["X-Amz-Signature"]

    def _upload(self) -> Path:
        return FOLDER / "uploads" / self.query["uploadId"]

    def _part(self) -> Path:
        return self._upload() / f"{int(self.query['partNumber']):05}"

    def _object(self) -> Path:
        (FOLDER / "objects").mkdir(exist_ok=True)
        return FOLDER / "objects" / self.key.replace("/", "~")

    def _receive(self, target: Path) -> str:
        md5, left = hashlib.md5(), int(self.headers["content-length"])
        with (part := target.with_suffix(f".{uuid4().hex}")).open("wb") as file:
            while left and (chunk := self.rfile.read(min(CHUNK, left))):
                left -= len(chunk)
                md5.update(chunk)
                file.write(chunk)
        part.rename(target)
        return md5.hexdigest()

    def _copy(self, source: str) -> None:
        path = FOLDER / "objects" / source.lstrip("/").partition("/")[2].replace("/", "~")
        if self.headers.get("x-amz-copy-source-if-match", etag_of(path)) != etag_of(path):
            self._answer(412, "<Error><Code>PreconditionFailed</Code></Error>")
            return
        start, stop = 0, path.stat().st_size
        if (span := self.headers.get("x-amz-copy-source-range")) is not None:
            start, stop = (int(number) for number in span.removeprefix("bytes=").split("-"))
            stop += 1
        target = self._part() if "uploadId" in self.query else self._object()
        with path.open("rb") as read, target.open("wb") as write:
            while start < stop and (done := os.copy_file_range(read.fileno(), write.fileno(), stop - start, start)):
                start += done
        self._answer(200, f"<R><ETag>{etag_of(target)}</ETag></R>")

    def _join(self, numbers: list[int]) -> None:
        target = self._object().with_suffix(".joining")
        with target.open("wb") as write:
            for number in numbers:
                part = self._upload() / f"{number:05}"
                with part.open("rb") as read:
                    while os.copy_file_range(read.fileno(), write.fileno(), 1 << 30):
                        pass
                part.unlink()
        target.rename(self._object())
        shutil.rmtree(self._upload())
        self._answer(200, f"<R><ETag>{etag_of(self._object())}</ETag></R>")

    def _list_uploads(self) -> None:
        found = [
            f"<Upload><Key>{(one / 'key').read_text()}</Key><UploadId>{one.name}</UploadId>"
            f"<Initiated>{datetime.now(UTC).isoformat()}</Initiated></Upload>"
            for one in sorted((FOLDER / "uploads").glob("*"))
            if (one / "key").read_text().startswith(self.query.get("prefix", ""))
        ]
        self._answer(200, f"<R>{''.join(found)}<IsTruncated>false</IsTruncated></R>")

    def _list_parts(self) -> None:
        if not self._upload().is_dir():
            self._answer(404, "<Error><Code>NoSuchUpload</Code></Error>")
            return
        after, limit = int(self.query.get("part-number-marker", 0)), int(self.query.get("max-parts", 1000))
        parts = [one for one in sorted(self._upload().iterdir()) if re.fullmatch(r"\d{5}", one.name)]
        found = [
            f"<Part><PartNumber>{int(one.name)}</PartNumber><Size>{one.stat().st_size}</Size>"
            f"<ETag>{etag_of(one)}</ETag></Part>"
            for one in parts
            if int(one.name) > after
        ]
        self._answer(200, f"<R>{''.join(found[:limit])}</R>")

    def _read(self, body: bool = True) -> None:
        path = self._object()
        if not path.is_file():
            self._answer(404, "<Error><Code>NoSuchKey</Code></Error>", body=body)
            return
        start, size = 0, path.stat().st_size
        stop, status = size, 200
        headers = {"etag": etag_of(path), "last-modified": "Mon, 30 Nov 2026 00:00:00 GMT"}
        if (span := self.headers.get("range")) is not None and body:
            start, stop = (int(number) for number in span.removeprefix("bytes=").split("-"))
            stop, status = stop + 1, 206
            headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
        self.send_response(status)
        for name, value in {**headers, "content-length": str(stop - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        with path.open("rb") as file:
            while body and start < stop:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, stop - start)

    def _answer(self, status: int, text: str, headers: dict[str, str] | None = None, *, body: bool = True) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def etag_of(path: Path) -> str:
    found = path.stat()
    return f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"'


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
