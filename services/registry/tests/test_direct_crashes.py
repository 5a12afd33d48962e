"""Direct uploads across a kill of the registry, and copies in a store that checks signatures and ETags."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelyard import ApiError, ApiUnavailable, RegistryClient
from modelyard.registry import direct
from modelyard_contracts.manifest import digest_of
from modelyard_registry.domain.direct import MIB
from modelyard_registry.store import multipart, s3
from modelyard_registry.store.multipart import Bucket, Multipart
from modelyard_registry.store.objects import StoreUnavailable
from modelyard_registry.store.s3 import S3Objects
from modelyard_registry.store.signing import Credentials
from modelyard_registry.testing import InProcessRegistry

from .test_process import NO_BROKER, Service

URL = "s3://models/artifacts"


@pytest.fixture
def endpoint(disk_s3: str, monkeypatch: pytest.MonkeyPatch, loopback: None) -> str:
    """The credentials for it are in the environment."""
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return disk_s3


@pytest.fixture
def service(tmp_path: Path, endpoint: str) -> Iterator[Service]:
    found = Service(tmp_path, NO_BROKER, ARTIFACT_URL=URL, ARTIFACT_ENDPOINT_URL=endpoint)
    yield found.start()
    found.kill()


class Killing(httpx.BaseTransport):
    """Requests to the store; `kill` is called after the one with the given number."""

    def __init__(self, service: Service, after: int) -> None:
        self._inner, self._service, self._after = httpx.HTTPTransport(), service, after
        self.count = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        answer.read()
        self.count += 1
        if self.count == self._after:
            self._service.kill()
        return answer


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("after", [1, 3])
def test_a_kill_of_the_registry_costs_no_part_that_arrived(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(direct, "DIRECT_BYTES", MIB)
    (file := tmp_path / "weights.bin").write_bytes(data := os.urandom(33 * MIB))
    digest = digest_of(data)
    with service.client as client, pytest.raises(ApiUnavailable):
        killing = Killing(service, after)
        direct.DirectUploader(client, killing).send(digest, file, len(data), lambda _: None)
    assert killing.count == 3  # the URLs still worked
    service.start()
    with service.client as client:
        again = Killing(service, 0)
        assert direct.DirectUploader(client, again).send(digest, file, len(data), lambda _: None)
        assert (again.count, client.get_blob(digest)) == (0, data)


@pytest.mark.server
def test_a_store_that_refuses_multipart_uploads_gets_the_files_from_the_registry(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with credentials that lack these rights: here their signature is wrong."""
    monkeypatch.setattr(direct, "DIRECT_BYTES", 1)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    (file := tmp_path / "weights.bin").write_bytes(b"weights")
    with InProcessRegistry(tmp_path / "r", artifact_url=URL, artifact_endpoint_url=endpoint) as registry:
        client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)
        with pytest.raises(ApiError, match="403") as refused:
            client.post(f"/v1/blobs/{digest_of(b'weights')}/uploads", {"size_bytes": 7})
        assert refused.value.code == "direct_upload_unavailable"
        assert client.get_blob(client.put_blob(file)) == b"weights"


@pytest.fixture
def objects(endpoint: str, tmp_path: Path) -> tuple[S3Objects, Multipart]:
    credentials = Credentials.from_environment()
    assert credentials is not None
    calls = Multipart(Bucket.at(URL, endpoint, None), credentials)
    found = S3Objects(URL, endpoint, calls)
    (tmp_path / "part").write_bytes(b"0123456789")
    found.put("a", tmp_path / "part")
    return found, calls


@pytest.mark.server
def test_an_object_that_was_replaced_is_not_copied(objects: tuple[S3Objects, Multipart]) -> None:
    store, calls = objects
    with pytest.raises(StoreUnavailable, match="PreconditionFailed"):
        calls.copy("a", "b", 10, '"another"')
    assert store.size("b") is None


@pytest.mark.server
def test_a_large_object_is_moved_in_parts(
    objects: tuple[S3Objects, Multipart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "MAX_COPY_BYTES", 9)
    monkeypatch.setattr(multipart, "COPY_PART_BYTES", 4)
    store, _ = objects
    store.move("a", "b")
    assert (store.size("a"), b"".join(store.read("b", 0, 10))) == (None, b"0123456789")
