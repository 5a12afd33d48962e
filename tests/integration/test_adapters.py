"""modelyard register of a PEFT adapter on a base in a real registry: one base is stored for all of its adapters."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from modelyard import RegistryClient
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_registry.testing import InProcessRegistry

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
LORA = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4}
BASE_BYTES = 400_000


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryClient]:
    with InProcessRegistry(tmp_path / "registry") as opened:
        client = RegistryClient(opened.serve(), opened.admin_key)
        platform = SimpleNamespace(urls={"registry": client.base_url}, token=opened.admin_key, registry=client)
        monkeypatch.setattr(Platform, "find", lambda *_: platform)
        yield client


def model(folder: Path) -> Path:
    """A folder as transformers saves it; nothing of it is loaded here."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"w": np.ones(BASE_BYTES // 4, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "sample.csv").write_text("prompt\nhello\ngood bye\n")
    return folder


def adapter(folder: Path, value: float) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    save_file({"w": np.full(4, value, dtype=np.float32)}, folder / "adapter_model.safetensors")
    (folder / "sample.csv").write_text("prompt\nhello\ngood bye\n")
    return folder


def register(folder: Path, name: str, *more: str) -> Result:
    return CliRunner().invoke(app, ["register", str(folder), name, "--no-follow", "-o", "json", *more])


def test_adapters_share_the_files_of_their_base_and_are_complete_versions(
    registry: RegistryClient, tmp_path: Path
) -> None:
    assert register(model(tmp_path / "model"), "smollm").exit_code == 0
    done = [
        register(adapter(tmp_path / name, value), name, "--base", "smollm@1")
        for name, value in (("polite", 1.0), ("short", 2.0))
    ]
    assert [one.exit_code for one in done] == [0, 0], done[0].stderr
    base = {entry.path: entry.digest for entry in registry.manifest("smollm", 1).files}
    for result, name in zip(done, ("polite", "short"), strict=True):
        report, manifest = json.loads(result.stdout), registry.manifest_file(name, 1)
        assert report["uploaded_bytes"] < BASE_BYTES < report["skipped_bytes"]
        assert any("smollm" in other for other in report["resembles"])
        files = {entry.path: entry.digest for entry in manifest.manifest.files}
        assert files["model.safetensors"] == base["model.safetensors"]
        registry.download(manifest, tmp_path / "downloaded" / name)
        assert (tmp_path / "downloaded" / name / "adapter/adapter_model.safetensors").is_file()
    assert "smollm@1 (sha256:" in registry.card("polite", 1)
    assert registry.version("polite", 1).digest != registry.version("short", 1).digest


def test_a_base_that_is_not_registered_and_a_model_without_a_champion_are_refused(
    registry: RegistryClient, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "adapter", 1.0)
    missing = register(folder, "polite", "--base", "smollm@1", "--dry-run")
    assert (missing.exit_code, "--base smollm@1: no such model; register its folder first" in missing.stderr) == (
        2,
        True,
    )
    assert register(model(tmp_path / "model"), "smollm").exit_code == 0
    (folder / "modelyard.yaml").write_text("base: smollm\n")
    no_champion = register(folder, "polite")
    assert (no_champion.exit_code, "write smollm@VERSION" in no_champion.stderr) == (2, True)
    assert [found.name for found in registry.models()] == ["smollm"]
