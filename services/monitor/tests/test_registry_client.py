"""Manifests by their bytes: unknown fields are ignored, what cannot be used leaves only that version unwatched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard_contracts import manifest
from modelyard_contracts.codec import Codec
from modelyard_contracts.documents import canonical_json, digest_of
from modelyard_contracts.manifest import ManifestFile
from modelyard_monitor.clients.registry import UNKNOWN_FOR_S, Registry, RegistryAway
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.testing.samples import FILES, digest_of_manifest, label, make_manifest, prediction, records
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.health import Readiness

from .world import World


def document(**fields: Any) -> dict[str, Any]:
    return {**json.loads(ManifestFile.write(make_manifest()).data), **fields}


def with_count(count: int) -> dict[str, Any]:
    found = document()
    found["reference"]["features"][0]["counts"][3] = count
    return found


def registry_with(data: bytes, monotonic: Callable[[], float] = lambda: 0.0) -> tuple[Registry, list[str]]:
    """A client of a registry that holds these bytes as version 1 of m, and the paths that it requests."""
    requested: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requested.append(request.url.path)
        known = request.url.path == "/v1/models/m/versions/1/manifest"
        return httpx.Response(200, content=data) if known else httpx.Response(404)

    return Registry("http://registry", "key", monotonic, httpx.MockTransport(answer)), requested


def test_the_digest_is_that_of_the_bytes_and_unknown_fields_are_ignored() -> None:
    data = canonical_json(document(added_in_a_later_release={"x": 1}))
    client, requested = registry_with(data)
    found = client.find(("m", 1, digest_of(data)))
    assert found.manifest is not None
    assert found.manifest.signature == make_manifest().signature
    assert client.find(("m", 1, digest_of(data))) == found
    assert len(requested) == 1


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (document(schema_version=99, min_release="9.9"), "needs Modelyard 9.9 or newer"),
        (with_count(2**64), "counts"),
        (with_count(-1), "counts.3: must be 0 or more"),
        (document(signature=None), "signature"),
        ([1, 2], "not a JSON object"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_a_reason_and_is_requested_again_later(stored: Any, reason: str) -> None:
    now = [0.0]
    data = canonical_json(stored)
    client, requested = registry_with(data, lambda: now[0])
    assert reason in client.find(("m", 1, digest_of(data))).reason
    assert client.find(("m", 1, digest_of(data))).manifest is None
    assert len(requested) == 1
    now[0] = UNKNOWN_FOR_S
    client.find(("m", 1, digest_of(data)))
    assert len(requested) == 2


def test_other_bytes_and_unknown_versions_have_a_reason() -> None:
    client, _ = registry_with(canonical_json(document()))
    assert "holds this version with the digest" in client.find(("m", 1, "sha256:another")).reason
    assert client.find(("m", 2, "d")).reason == "the registry has no such version"


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_registry_that_cannot_answer_is_away(status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    with pytest.raises(RegistryAway, match=str(status)):
        Registry("http://registry", "key", transport=transport).find(("m", 1, "d"))


def test_the_real_registry_returns_the_bytes_that_the_digest_is_of(tmp_path: Path) -> None:
    with InProcessRegistry(tmp_path) as registry:
        registry.given_version(make_manifest(), FILES)
        client = Registry("http://registry", registry.admin_key, transport=registry.transport)
        assert client.find(("m", 1, digest_of_manifest(make_manifest()))).manifest == make_manifest()
        with registry.unavailable(), pytest.raises(RegistryAway):
            client.find(("m", 2, "d"))


async def test_a_defective_manifest_leaves_its_version_unwatched_and_disturbs_no_other(world: World) -> None:
    data = canonical_json(with_count(2**64))
    client, _ = registry_with(data)

    class Both:
        """The defective version from the registry, all others from memory."""

        def find(self, version: Any) -> Any:
            return client.find(version) if version[2] == digest_of(data) else world.manifests.find(version)

    readiness = Readiness()
    counter = Counter(world.clickhouse, Both(), world.unwatched, readiness)
    ingest = PredictionIngest(world.clickhouse, counter, Codec(), world.sent, world.letters)
    rows = [prediction(i, model_digest=digest_of(data)) if i % 2 else prediction(i) for i in range(10)]
    await ingest.store(records(rows))

    assert world.count("predictions") == 10
    [counted] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a'")
    assert counted["n"] == 5
    [reason] = world.unwatched.reasons().values()
    assert "counts" in reason
    assert readiness.ready
    assert "1 versions are not watched" in str(readiness.as_dict())


async def test_a_field_that_a_later_release_adds_keeps_counts_and_label_joins_of_old_versions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later class would write other bytes for the old manifest; digests come from the stored bytes alone."""
    data = ManifestFile.write(make_manifest()).data

    class LaterManifest(manifest.ModelManifest):
        carbon_g: float = 0.0

    monkeypatch.setattr(manifest, "ModelManifest", LaterManifest)
    client, _ = registry_with(data)
    assert ManifestFile.write(LaterManifest.model_validate(json.loads(data))).digest != digest_of(data)
    counter = Counter(world.clickhouse, client, world.unwatched, Readiness())
    ingest = PredictionIngest(world.clickhouse, counter, Codec(), world.sent, world.letters)
    await ingest.store(records([prediction(i, model_digest=digest_of(data)) for i in range(4)]))
    await world.labels.store(records([label(i, "0") for i in range(4)]))

    [joined] = world.clickhouse.rows("SELECT count() AS n, any(model_digest) AS digest FROM {db}.v_labelled")
    [counted] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a'")
    assert (joined["n"], joined["digest"], counted["n"]) == (4, digest_of(data), 4)
    assert not world.unwatched.reasons()
