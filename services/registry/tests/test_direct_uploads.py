"""Large files go to a bucket by presigned URLs; the registry verifies them before they exist under their digest."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # has no types
import httpx
import pytest

from modelyard import ApiError, ApiUnavailable, RegistryClient
from modelyard.registry import direct
from modelyard_contracts.keyring import KeyRing
from modelyard_contracts.manifest import digest_of
from modelyard_registry.domain.direct import MAX_PARTS, MIB, PartPlan
from modelyard_registry.store.signing import Credentials, Signer
from modelyard_registry.testing import InProcessRegistry

from .buckets import Bucket

PART = 16 * MIB
SIZE = 2 * PART + 1000
LIMIT = 100 * MIB


@dataclass
class Direct:
    """A registry over a bucket, and the store's own view of the bucket."""

    opened: InProcessRegistry
    bucket: Bucket

    def client(self, token: str | None = None) -> RegistryClient:
        return RegistryClient("http://registry", token or self.opened.admin_key, transport=self.opened.transport)

    @property
    def s3(self) -> Any:
        return boto3.client("s3", endpoint_url=self.bucket.endpoint, region_name="us-east-1")

    @property
    def name(self) -> str:
        return self.bucket.url.split("/")[2]

    def keys(self) -> list[str]:
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def open_uploads(self) -> list[dict[str, Any]]:
        return list(self.s3.list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def key_of(self, digest: str) -> str:
        return f"artifacts/sha256/{digest[7:9]}/{digest[7:]}"

    def post(self, path: str, body: dict[str, Any] | None = None, token: str | None = None) -> Any:
        with self.client(token) as client:
            return client.post(f"/v1/blobs/{path}", body)

    def complete(self, digest: str, upload: str) -> Any:
        while (found := self.post(f"{digest}/uploads/{upload}/complete"))["state"] == "verifying":
            pass
        return found

    def send(self, digest: str, upload: str, number: int, data: bytes) -> None:
        urls = self.post(f"{digest}/uploads/{upload}/urls", {"first": number, "count": 1})
        assert httpx.put(urls["items"][0]["url"], content=data).status_code == 200


@contextmanager
def opened(folder: Path, bucket: Bucket, **settings: Any) -> Iterator[Direct]:
    values = {"artifact_url": bucket.url, "artifact_endpoint_url": bucket.endpoint, "max_blob_bytes": LIMIT}
    with InProcessRegistry(folder, **{**values, **settings}) as registry:
        yield Direct(registry, bucket)


@pytest.fixture
def store(tmp_path: Path, bucket: Bucket) -> Iterator[Direct]:
    with opened(tmp_path / "registry", bucket) as found:
        yield found


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def file(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of three parts; the client sends it directly."""
    monkeypatch.setattr(direct, "DIRECT_BYTES", PART)
    (path := tmp_path / "weights.bin").write_bytes(data)
    return path


class Puts(httpx.BaseTransport):
    """Requests to the store, counted; `broken` decides by the number of the request whether it fails."""

    def __init__(self, broken: Callable[[int], httpx.Response | Exception | None] = lambda _: None) -> None:
        self._inner = httpx.HTTPTransport()
        self._broken = broken
        self.count = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        problem = self._broken(self.count)
        if isinstance(problem, Exception):
            raise problem
        return problem or self._inner.handle_request(request)


def uploader(client: RegistryClient, puts: Puts) -> direct.DirectUploader:
    return direct.DirectUploader(client, puts, pause=lambda _: None)


def send(store: Direct, file: Path, data: bytes, puts: Puts, progress: Callable[[int], None] = lambda _: None) -> bool:
    with store.client() as client:
        return uploader(client, puts).send(digest_of(data), file, len(data), progress)


@pytest.mark.server
def test_a_large_file_goes_to_the_bucket_in_parts_and_becomes_a_blob(store: Direct, file: Path, data: bytes) -> None:
    seen: list[int] = []
    with store.client() as client:
        client.upload(digest_of(data), file, seen.append)
        assert client.get_blob(digest_of(data)) == data
        assert client.put_blob(file) == digest_of(data)
    assert store.keys() == [store.key_of(digest_of(data))]
    assert (seen[-1], seen == sorted(seen), store.open_uploads()) == (SIZE, True, [])


@pytest.mark.server
def test_no_byte_of_it_passes_through_the_registry(store: Direct, file: Path, data: bytes) -> None:
    puts = Puts()
    assert send(store, file, data, puts)
    assert (puts.count, store.opened.registry.blobs.sound(digest_of(data))) == (3, True)
    assert list((store.opened.settings.data_dir / "blobs" / "parts").iterdir()) == []


@pytest.mark.server
def test_an_interrupted_upload_sends_only_the_missing_parts(store: Direct, file: Path, data: bytes) -> None:
    puts = Puts(lambda count: httpx.ReadError("cut off") if count > 2 else None)
    with pytest.raises(ApiUnavailable, match="cut off"):
        send(store, file, data, puts)
    seen: list[int] = []
    assert send(store, file, data, again := Puts(), seen.append)
    assert again.count == 1
    assert (seen[0] in (2 * PART, PART + 1000), seen[-1]) == (True, SIZE)


@pytest.mark.server
def test_a_part_that_fails_for_a_moment_is_sent_again(store: Direct, file: Path, data: bytes) -> None:
    fails: dict[int, httpx.Response | Exception] = {
        1: httpx.Response(503, text="slow down"),
        3: httpx.ReadError("reset"),
        4: httpx.Response(403, text="old"),
    }
    assert send(store, file, data, puts := Puts(fails.get))
    assert puts.count == 6


@pytest.mark.server
def test_a_store_that_cannot_be_reached_is_reported_once_and_files_go_through_the_registry(
    tmp_path: Path, bucket: Bucket, file: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path / "r", bucket, artifact_public_endpoint_url="http://127.0.0.1:9") as store:
        with store.client() as client, caplog.at_level(logging.WARNING, "modelyard"):
            client.upload(digest_of(data), file)
            client.upload(digest_of(data), file)
            assert client.has_blob(digest_of(data))
        assert len([one for one in caplog.records if "go through the registry" in one.getMessage()]) == 1
        assert store.open_uploads() == []


@pytest.mark.server
@pytest.mark.parametrize("why", ["encrypted", "off"])
def test_where_it_is_not_offered_files_go_through_the_registry(
    tmp_path: Path, bucket: Bucket, file: Path, data: bytes, why: str
) -> None:
    (tmp_path / "keys").write_text(KeyRing.fresh().text())
    settings: dict[str, dict[str, Any]] = {
        "encrypted": {"artifact_key_file": tmp_path / "keys"},
        "off": {"artifact_direct_uploads": False},
    }
    with opened(tmp_path / "r", bucket, **settings[why]) as store:
        with pytest.raises(ApiError) as refused:
            store.post(f"{digest_of(data)}/uploads", {"size_bytes": SIZE})
        assert (refused.value.status, refused.value.code) == (409, "direct_upload_unavailable")
        assert not send(store, file, data, Puts())
        with store.client() as client:
            assert client.put_blob(file) == digest_of(data)
            assert client.get_blob(digest_of(data)) == data


@pytest.mark.server
def test_other_bytes_are_refused_and_leave_nothing(store: Direct) -> None:
    digest = digest_of(b"promised")
    upload = store.post(f"{digest}/uploads", {"size_bytes": 5})["upload"]
    store.send(digest, upload, 1, b"other")
    with pytest.raises(ApiError, match=f"have the digest {digest_of(b'other')}") as refused:
        store.complete(digest, upload)
    assert (refused.value.status, refused.value.code) == (422, "digest_mismatch")
    assert (store.keys(), store.open_uploads()) == ([], [])


@pytest.mark.server
def test_a_refusal_does_not_stop_the_right_bytes_afterwards(store: Direct) -> None:
    digest = digest_of(b"right")
    for content in (b"wrong", b"right"):
        upload = store.post(f"{digest}/uploads", {"size_bytes": 5})["upload"]
        store.send(digest, upload, 1, content)
        try:
            state = store.complete(digest, upload)["state"]
        except ApiError as error:
            state = error.code
    assert (state, store.keys()) == ("stored", [store.key_of(digest)])


@pytest.mark.server
@pytest.mark.parametrize("content", [b"", b"too many bytes"])
def test_a_missing_part_or_one_of_another_size_is_named_and_can_be_sent(store: Direct, content: bytes) -> None:
    digest = digest_of(b"right")
    upload = store.post(f"{digest}/uploads", {"size_bytes": 5})["upload"]
    if content:
        store.send(digest, upload, 1, content)
    with pytest.raises(ApiError, match="1 of 1 parts are missing or have another size than planned: 1") as refused:
        store.complete(digest, upload)
    assert (refused.value.status, refused.value.code) == (409, "upload_incomplete")
    store.send(digest, upload, 1, b"right")
    assert store.complete(digest, upload)["state"] == "stored"


@pytest.mark.server
def test_two_processes_of_one_caller_share_an_upload(store: Direct) -> None:
    digest = digest_of(b"right")
    one, other = (store.post(f"{digest}/uploads", {"size_bytes": 5})["upload"] for _ in range(2))
    assert one == other
    store.send(digest, one, 1, b"right")
    store.complete(digest, one)
    with pytest.raises(ApiError) as ended:
        store.post(f"{digest}/uploads/{other}/urls", {"first": 1})
    assert ended.value.code == "upload_not_found"
    assert store.complete(digest, other)["state"] == "stored"
    assert store.post(f"{digest}/uploads", {"size_bytes": 5})["state"] == "stored"


@pytest.mark.server
def test_another_caller_neither_sees_nor_continues_an_upload(store: Direct) -> None:
    digest = digest_of(b"right")
    with store.client() as client:
        key = client.create_key("ada", {"default": ["developer"]}).key
        viewer = client.create_key("eve", {"default": ["viewer"]}).key
    upload = store.post(f"{digest}/uploads", {"size_bytes": 5})["upload"]
    assert store.post(f"{digest}/uploads", {"size_bytes": 5}, key)["upload"] != upload
    for path, body in (("urls", {"first": 1}), ("complete", None)):
        with pytest.raises(ApiError) as refused:
            store.post(f"{digest}/uploads/{upload}/{path}", body, key)
        assert refused.value.code == "upload_not_found"
    with pytest.raises(ApiError) as forbidden:
        store.post(f"{digest}/uploads", {"size_bytes": 5}, viewer)
    assert forbidden.value.status == 403


@pytest.mark.server
def test_a_restart_after_the_last_part_verifies_the_upload_again(tmp_path: Path, bucket: Bucket) -> None:
    """As after kill -9 between completing the parts in the store and the verification."""
    digest = digest_of(b"right")
    with opened(tmp_path / "one", bucket) as store:
        upload = store.post(f"{digest}/uploads", {"size_bytes": 5})["upload"]
        store.send(digest, upload, 1, b"right")
        [found] = store.open_uploads()
        parts = store.s3.list_parts(Bucket=store.name, Key=found["Key"], UploadId=found["UploadId"])["Parts"]
        done = {"Parts": [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]}
        store.s3.complete_multipart_upload(
            Bucket=store.name, Key=found["Key"], UploadId=found["UploadId"], MultipartUpload=done
        )
    with opened(tmp_path / "two", bucket) as store:
        begun = store.post(f"{digest}/uploads", {"size_bytes": 5})
        assert begun["state"] == "verifying"
        assert store.complete(digest, begun["upload"])["state"] == "stored"
        assert store.complete(digest, upload)["state"] == "stored"
        assert store.keys() == [store.key_of(digest)]


@pytest.mark.server
def test_a_blob_too_large_is_refused_before_a_byte_is_sent(store: Direct) -> None:
    with pytest.raises(ApiError) as refused:
        store.post(f"{digest_of(b'x')}/uploads", {"size_bytes": LIMIT + 1})
    assert (refused.value.code, store.open_uploads()) == ("blob_too_large", [])


@pytest.mark.server
def test_an_aborted_upload_leaves_nothing(store: Direct) -> None:
    digest = digest_of(b"right")
    upload = store.post(f"{digest}/uploads", {"size_bytes": 5})["upload"]
    store.send(digest, upload, 1, b"right")
    with store.client() as client:
        for _ in range(2):
            client.request("DELETE", f"/v1/blobs/{digest}/uploads/{upload}")
    assert (store.keys(), store.open_uploads()) == ([], [])


@pytest.mark.server
def test_abandoned_uploads_are_removed(store: Direct) -> None:
    """The local store dates every open upload to 2010."""
    for content in (b"a", b"b"):
        store.post(f"{digest_of(content)}/uploads", {"size_bytes": 1})
    for key in ("artifacts/sha256/ab/ab", "elsewhere/key"):
        store.s3.create_multipart_upload(Bucket=store.name, Key=key)
    assert store.opened.registry.uploads.remove_abandoned() == 3
    assert [one["Key"] for one in store.open_uploads()] == ["elsewhere/key"]


@pytest.mark.parametrize("token", ["%00", "x" * 4000, "MX4", "fn4", "LTF-eA", "MX4AAA", "ä"])
def test_a_made_up_token_is_refused(tmp_path: Path, token: str) -> None:
    with InProcessRegistry(tmp_path) as registry:
        client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)
        with pytest.raises(ApiError) as refused:
            client.post(f"/v1/blobs/{digest_of(b'')}/uploads/{token}/complete")
    assert refused.value.status in (404, 409)


@pytest.mark.server
@pytest.mark.parametrize("token", ["%00", "x" * 4000, "MX4", "fn4", "LTF-eA", "MX4AAA", "ä"])
def test_a_made_up_token_names_no_upload(store: Direct, token: str) -> None:
    with pytest.raises(ApiError) as refused:
        store.post(f"{digest_of(b'')}/uploads/{token}/complete")
    assert refused.value.code == "upload_not_found"


@pytest.mark.parametrize("size", [1, PART, PART + 1, 5 * 1024**3, 160 * 1024**3, 5 * 1024**4])
def test_parts_cover_the_file_and_are_at_most_ten_thousand(size: int) -> None:
    plan = PartPlan(size)
    assert 1 <= plan.parts <= MAX_PARTS
    assert sum(plan.size_of(number) for number in range(1, plan.parts + 1)) == size
    assert all(0 < plan.size_of(number) <= plan.part_bytes for number in (1, plan.parts))


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("url", ["https://s3.eu-west-1.amazonaws.com/b/p%20q/k", "http://127.0.0.1:9000/b/k"])
def test_a_signature_is_that_of_botocore(url: str, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore import auth, awsrequest, credentials  # type: ignore[import-untyped]  # has no types

    at = datetime(2026, 11, 30, 12, 0, 5, tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: at.replace(tzinfo=None))
    query = {"partNumber": "7", "uploadId": "a/b+c=~"}
    request = awsrequest.AWSRequest("PUT", url, headers={"content-length": "5"}, params=query)
    auth.S3SigV4QueryAuth(credentials.Credentials("id", "secret", token), "s3", "eu-west-1", 60).add_auth(request)
    ours = Signer(Credentials("id", "secret", token), "eu-west-1").presigned(
        "PUT", url, at, 60, query, {"content-length": "5"}
    )
    assert httpx.URL(ours).params == httpx.URL(request.url).params
