"""Uploads: in pieces, not twice, and again after a cut connection."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from modelyard import ApiError, RegistryClient
from modelyard_contracts.manifest import ManifestFile
from modelyard_own import register_plan
from modelyard_own.registration import ATTEMPTS

from .conftest import plan

MIB = 1 << 20
VERSION = {
    "model": "m",
    "version": 1,
    "digest": f"sha256:{'0' * 64}",
    "stage": "registered",
    "created_at": "2026-01-01T00:00:00Z",
    "created_by": "test",
    "correlation_id": "c",
}
MODEL = {"name": "m", "revision": 1, "latest_version": 0, "created_at": "2026-01-01T00:00:00Z"}


@dataclass
class Registry(httpx.BaseTransport):
    """The calls of a registration, answered from memory."""

    blobs: dict[str, int] = field(default_factory=dict)
    """Digest to size."""
    cuts: int = 0
    """Uploads that lose their connection."""
    uploads: int = 0
    datasets: list[str] = field(default_factory=list)
    manifests: list[ManifestFile] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    finalized: int = 0

    def client(self) -> RegistryClient:
        return RegistryClient("http://registry", "key", transport=self)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.startswith("/v1/blobs/"):
            return self._blob(request, path.rpartition("/")[2])
        if path == "/v1/dataset-files":
            return self._dataset(json.loads(request.read()))
        if path == "/v1/models/m" and not self.models:
            return httpx.Response(404, json={"code": "model_not_found"})
        if path == "/v1/models":
            self.models.append(json.loads(request.read())["name"])
        if path.endswith("/versions"):
            return self._version(json.loads(request.read()))
        self.finalized += path.endswith("/finalize")
        return httpx.Response(200, json=VERSION if path.endswith("/finalize") else MODEL)

    def _blob(self, request: httpx.Request, digest: str) -> httpx.Response:
        if request.method == "HEAD":
            return httpx.Response(200 if digest in self.blobs else 404)
        if digest == "uploads":
            return httpx.Response(409, json={"code": "direct_upload_unavailable"})
        self.uploads += 1
        if self.uploads <= self.cuts:
            raise httpx.WriteError("connection reset", request=request)
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.blobs[digest] = sum(map(len, request.stream))
        return httpx.Response(201, json={})

    def _dataset(self, body: dict[str, str]) -> httpx.Response:
        self.datasets.append(body["digest"])
        named = {"digest": body["digest"], "name": body["name"], "format": "parquet", "rows": 1, "size_bytes": 1}
        return httpx.Response(201, json={**named, "created_at": "2026-01-01T00:00:00Z", "created_by": "test"})

    def _version(self, body: dict[str, str]) -> httpx.Response:
        file = ManifestFile.read(body["manifest"].encode())
        self.manifests.append(file)
        missing = [entry.digest for entry in file.manifest.files if entry.digest not in self.blobs]
        return httpx.Response(201, json={**VERSION, "stage": "pending", "missing_blobs": missing})


@pytest.fixture
def registry() -> Iterator[Registry]:
    yield Registry()


def register(registry: Registry, *arguments: Path, **stated: object) -> list[str]:
    """Register a model; returns what was reported."""
    reports: list[str] = []
    with registry.client() as client:
        register_plan(client, plan(*arguments, **stated), "m", reports.append, pause=lambda _: None)  # type: ignore[arg-type]
    return reports


def test_model_files_example_and_labelled_sample_are_uploaded(registry: Registry, pipeline: Path, sample: Path) -> None:
    register(registry, pipeline, sample)
    [file] = registry.manifests
    assert {entry.path for entry in file.manifest.files} == {"churn.skops", "modelyard-example.json"}
    assert registry.datasets == [file.manifest.training.dataset_digest]
    assert {entry.digest: entry.size_bytes for entry in file.manifest.files}.items() <= registry.blobs.items()
    assert (registry.models, registry.finalized) == (["m"], 1)


def test_a_second_registration_uploads_nothing(registry: Registry, pipeline: Path, sample: Path) -> None:
    register(registry, pipeline, sample)
    uploads = registry.uploads
    register(registry, pipeline, sample)
    assert registry.uploads == uploads
    assert registry.manifests[0].data == registry.manifests[1].data


def test_a_cut_upload_is_tried_again(registry: Registry, rules: Path) -> None:
    registry.cuts = 2
    reports = register(registry, rules, code=True, reason="ours")
    assert len(registry.blobs) == 2 and registry.uploads == 4
    assert sum("interrupted" in report for report in reports) == 2


def test_an_upload_that_is_cut_every_time_is_an_error(registry: Registry, rules: Path) -> None:
    registry.cuts = 100
    with pytest.raises(ApiError, match="connection reset"):
        register(registry, rules, code=True, reason="ours")
    assert (registry.uploads, registry.finalized) == (ATTEMPTS, 0)


def test_a_large_file_is_never_in_memory(registry: Registry, rules: Path) -> None:
    with (rules / "weights.bin").open("wb") as file:
        file.truncate(256 * MIB)
    planned = plan(rules, code=True, reason="ours")
    tracemalloc.start()
    with registry.client() as client:
        register_plan(client, planned, "m", lambda _: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 256 * MIB in registry.blobs.values()
    assert peak < 16 * MIB
