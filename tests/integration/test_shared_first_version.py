"""Policies of a backtest that would train the same version 1 share it, on a real registry."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.e2e.conftest import turning_stream

from modelyard import RegistryClient
from modelyard_cli.demo import first
from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import FileEntry, ModelManifest, TrainingLineage, digest_of, signed
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_registry.testing import InProcessRegistry


def test_a_shared_version_1_is_registered_with_the_same_files_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first, "_await_first", lambda *_: None)
    data, stream = b"model", turning_stream("s-b", 10, turn_at=5)
    files = (FileEntry(path="model.bin", digest=digest_of(data), size_bytes=len(data)),)
    output = Output(task=Task.BINARY, classes=("no", "yes"))
    manifest = ModelManifest(
        model="s-a",
        flavour="sklearn",
        files=files,
        **signed(Signature(columns=(Column(name="a"),), output=output)),
        training=TrainingLineage(recipe="test"),
    )
    with InProcessRegistry(tmp_path) as registry:
        registry.given_version(manifest, {"model.bin": data}, VersionStage.APPROVED)
        with RegistryClient("http://registry", registry.admin_key, transport=registry.transport) as client:
            client.create_model("s-b")
            platform: Any = SimpleNamespace(registry=client)
            for _ in range(2):
                first.share_first(platform, "s-a", stream, lambda _: None)
            [version] = client.versions("s-b")
            assert version.stage is VersionStage.REGISTERED
            assert client.manifest("s-b", 1) == manifest.model_copy(update={"model": "s-b"})
