"""PEFT adapters: files and task of a version come from the registered base and from the adapter."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard import RegistryClient
from modelyard_contracts.documents import digest_of
from modelyard_contracts.manifest import FileEntry, ModelManifest, Source, TrainingLineage, signed
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_own import Base, Description, Plan, Request, UnfitModel, find_base, plan_of

from .conftest import write

DIGEST = f"sha256:{'a' * 64}"
CONFIG = {"peft_type": "LORA", "peft_version": "0.21.2", "r": 4, "lora_alpha": 8}


def base(
    *paths: str, task: Task = Task.TEXT, classes: tuple[str, ...] = (), flavour: str = "transformers", **source: str
) -> Base:
    signature = Signature(
        input="text", columns=(Column(name="text", type=ColumnType.TEXT),), output=Output(task=task, classes=classes)
    )
    manifest = ModelManifest(
        model="smollm",
        flavour=flavour,
        files=tuple(
            FileEntry(path=path, digest=DIGEST, size_bytes=1_000)
            for path in ("config.json", "model.safetensors", "example.json", *paths)
        ),
        **signed(signature),
        training=TrainingLineage(recipe="elsewhere"),
        options={"max_tokens": "128"},
        source=Source(kind="files", format="transformers", license="apache-2.0", gated=True, **source),
        example="example.json",
    )
    return Base("smollm", 3, DIGEST, manifest)


def gguf_base() -> Base:
    found = base()
    return replace(found, manifest=found.manifest.model_copy(update={"options": {"model": "m.gguf"}}))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return adapter_in(tmp_path / "adapter", task_type="CAUSAL_LM")


def adapter_in(folder: Path, **changes: Any) -> Path:
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | changes))
    save_file({"w": np.zeros(3, dtype=np.float32)}, folder / "adapter_model.safetensors")
    write(folder / "sample.csv", "text", "hello", "good bye")
    return folder


def planned(folder: Path, found: Base | None, **stated: Any) -> Plan:
    return plan_of(Request(folder, Description(**stated), base=found))


def test_a_version_has_the_files_of_the_base_and_those_of_the_adapter(adapter: Path) -> None:
    plan = planned(adapter, base())
    assert [entry.path for entry in plan.stored] == ["config.json", "model.safetensors"], "not the example of the base"
    assert [file.path for file in plan.files] == ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"]
    assert (plan.flavour, plan.signature.task, plan.options) == ("transformers", Task.TEXT, {"max_tokens": "128"})


def test_the_source_names_the_base_with_its_digest_and_its_licence(adapter: Path) -> None:
    source = planned(adapter, base()).source
    assert (source.base_model, source.format, source.framework) == (
        f"smollm@3 ({DIGEST})",
        "peft-adapter",
        "peft 0.21.2",
    )
    assert (source.license, source.gated) == ("apache-2.0", True)
    assert planned(adapter, base(), license="MIT").source.license == "MIT"


def test_a_classifier_has_the_classes_of_its_base_unless_others_are_stated(tmp_path: Path) -> None:
    folder, below = adapter_in(tmp_path / "a", task_type="SEQ_CLS"), base(task=Task.BINARY, classes=("bad", "good"))
    assert planned(folder, below).signature.classes == ("bad", "good")
    assert planned(folder, below, classes=("a", "b", "c")).signature.output.task is Task.MULTICLASS
    write(folder / "sample.csv", "text,label", "hello,no", "good bye,yes")
    assert planned(folder, base()).signature.classes == ("no", "yes"), "the base answers texts"


def test_an_adapter_without_a_base_is_refused_with_both_ways_out(adapter: Path) -> None:
    with pytest.raises(UnfitModel, match=r"--base .*merge_and_unload"):
        planned(adapter, None)


def test_a_base_in_modelyard_yaml_that_was_not_looked_up_is_refused(adapter: Path) -> None:
    (adapter / "modelyard.yaml").write_text("base: smollm@3\n")
    with pytest.raises(UnfitModel, match="set --base to smollm@3"):
        planned(adapter, None)
    assert planned(adapter, base()).stored


@pytest.mark.parametrize(
    ("below", "changes", "problem"),
    [
        (gguf_base(), {}, "is the GGUF file m.gguf; register the folder"),
        (base(flavour="onnx"), {}, "served by the flavour onnx; give a version of transformers"),
        (
            base("adapter/adapter_config.json", base_model="smollm@1"),
            {},
            "has an adapter already; give its base smollm@1",
        ),
        (base(task=Task.BINARY, classes=("a", "b")), {"task_type": "CAUSAL_LM"}, "answers binary, but the adapter has"),
        (base(), {"task_type": "TOKEN_CLS"}, "task_type TOKEN_CLS is not served; CAUSAL_LM and SEQ_CLS are"),
        (base(), {"use_dora": True}, r"adapter_config\.json: use_dora: is not supported; merge it"),
        (base(), {"r": "many"}, r"adapter_config\.json: r: must be"),
    ],
    ids=["gguf", "flavour", "adapter", "task", "task_type", "dora", "rank"],
)
def test_a_base_or_adapter_that_does_not_fit_is_refused(
    tmp_path: Path, below: Base, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UnfitModel, match=problem):
        planned(adapter_in(tmp_path / "a", **changes), below)


def test_pickled_weights_and_a_model_that_is_no_adapter_are_refused(adapter: Path, rules: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(UnfitModel, match="safe_serialization=True"):
        planned(adapter, base())
    with pytest.raises(UnfitModel, match="is no PEFT adapter"):
        planned(rules, base())


def registry(request: httpx.Request) -> httpx.Response:
    """Version 3 of smollm serves; version 4 is not uploaded completely."""
    at, manifest = request.url.path, base().manifest.model_dump_json()
    created = {"created_at": "2026-01-01T00:00:00Z", "created_by": "test"}
    if at == "/v1/models/smollm":
        return httpx.Response(200, json={"name": "smollm", "revision": 1, "latest_version": 4, **created} | ALIASES)
    for number, stage in ((3, "live"), (4, "pending")):
        if at == f"/v1/models/smollm/versions/{number}":
            facts = {"model": "smollm", "version": number, "digest": DIGEST, "stage": stage, "correlation_id": "c"}
            return httpx.Response(200, json={**facts, **created})
    if at == "/v1/models/smollm/versions/3/manifest":
        headers = {"x-modelyard-digest": digest_of(manifest.encode())}
        return httpx.Response(200, content=manifest, headers=headers)
    return httpx.Response(404, json={"code": "not_found", "title": "not found"})


ALIASES: dict[str, Any] = {"aliases": {"champion": 3, "old": 3}}


@pytest.mark.parametrize("text", ["smollm", "smollm@champion", "smollm@old", "smollm@3"])
def test_a_base_is_found_by_model_alias_or_version(text: str) -> None:
    with RegistryClient("http://registry", "key", transport=httpx.MockTransport(registry)) as client:
        found = find_base(client, text)
    assert (found.model, found.version, found.digest) == ("smollm", 3, DIGEST)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("llama", "no such model; register its folder first"),
        ("smollm@best", "smollm has no alias best; write smollm@VERSION"),
        ("smollm@9", "smollm has no such version"),
        ("smollm@4", "is not uploaded completely"),
        ("smollm@3@4", "write MODEL, MODEL@ALIAS or MODEL@VERSION"),
        ("", "write MODEL"),
    ],
)
def test_a_base_that_is_not_there_is_named_with_the_remedy(text: str, problem: str) -> None:
    client = RegistryClient("http://registry", "key", transport=httpx.MockTransport(registry))
    with client, pytest.raises(UnfitModel, match=problem):
        find_base(client, text)
