"""LoRA adapters: the merged weights are those of a hand calculation, and every tensor of an adapter counts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Task
from modelyard_flavours import check_admissible, load_generator, load_model
from modelyard_flavours.errors import Inadmissible

from .conftest import foreign_manifest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEXT = [Column(name="prompt", type=ColumnType.TEXT)]
REPLY = Output(task=Task.TEXT, name="reply")
QUERY = "model.layers.0.self_attn.q_proj"
UP = "model.layers.1.mlp.up_proj"
EMBEDDING = "model.embed_tokens"
CONFIG = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 12, "target_modules": ["q_proj"]}
Tensors = dict[str, Any]
Build = Callable[..., Path]


def pair(module: str, outputs: int, inputs: int, rank: int = 4) -> Tensors:
    """A and B of a linear layer."""
    low, high = torch.randn(rank, inputs) / 5, torch.randn(outputs, rank) / 5
    return {f"base_model.model.{module}.lora_A.weight": low, f"base_model.model.{module}.lora_B.weight": high}


def product(tensors: Tensors, module: str) -> Any:
    return tensors[f"base_model.model.{module}.lora_B.weight"] @ tensors[f"base_model.model.{module}.lora_A.weight"]


@pytest.fixture
def build(language_model: Path, tmp_path: Path) -> Build:
    """Writes a version: the language model with an adapter, whose configuration has these changes."""

    def built(tensors: Tensors, **changes: Any) -> Path:
        from safetensors.torch import save_file

        torch.manual_seed(1)
        folder = tmp_path / "version"
        shutil.copytree(language_model, folder)
        (folder / "adapter").mkdir()
        (folder / "adapter/adapter_config.json").write_text(json.dumps(CONFIG | changes))
        save_file(tensors, folder / "adapter/adapter_model.safetensors")
        return folder

    return built


def generator_of(folder: Path) -> Any:
    return load_generator(foreign_manifest(folder, "transformers", TEXT, text=True, output=REPLY), folder)


def answer(folder: Path) -> str:
    return "".join(generator_of(folder).generate("the quick", {"max_tokens": 12}))


def by_hand(language_model: Path, folder: Path, changes: Tensors) -> str:
    """The answer of the base with these sums added to its weights, saved as one model."""
    model = transformers.AutoModelForCausalLM.from_pretrained(language_model, local_files_only=True)
    for name, change in changes.items():
        model.get_parameter(name).data += change
    shutil.copytree(language_model, folder)
    model.save_pretrained(folder)
    return answer(folder)


def test_an_adapter_answers_as_weights_merged_by_hand(language_model: Path, build: Build, tmp_path: Path) -> None:
    tensors = pair(QUERY, 32, 32) | pair(UP, 64, 32, rank=2)
    rank = {"rank_pattern": {"layers.1.mlp.up_proj": 2}, "alpha_pattern": {"up_proj": 10}}
    changes = {f"{QUERY}.weight": 12 / 4 * product(tensors, QUERY), f"{UP}.weight": 10 / 2 * product(tensors, UP)}

    adapted = answer(build(tensors, **rank))

    assert adapted == by_hand(language_model, tmp_path / "by-hand", changes)
    assert adapted != answer(language_model)


def test_rank_stabilised_adapters_scale_by_the_root_of_the_rank(
    language_model: Path, build: Build, tmp_path: Path
) -> None:
    tensors = pair(QUERY, 32, 32)
    expected = by_hand(language_model, tmp_path / "by-hand", {f"{QUERY}.weight": 12 / 2 * product(tensors, QUERY)})
    assert answer(build(tensors, use_rslora=True)) == expected


def test_an_embedding_is_adapted_and_a_saved_module_replaces_that_of_the_base(
    language_model: Path, build: Build, tmp_path: Path
) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(language_model, local_files_only=True)
    tokens = model.config.vocab_size
    low, high, head = torch.randn(4, tokens) / 5, torch.randn(32, 4) / 5, torch.randn(tokens, 32)
    tensors = {
        f"base_model.model.{EMBEDDING}.lora_embedding_A": low,
        f"base_model.model.{EMBEDDING}.lora_embedding_B": high,
        "base_model.model.lm_head.weight": head,
    }
    changes = {f"{EMBEDDING}.weight": 3 * (high @ low).T, "lm_head.weight": head - model.lm_head.weight.data}
    assert answer(build(tensors, modules_to_save=["lm_head"])) == by_hand(language_model, tmp_path / "hand", changes)


def test_an_adapter_brings_a_head_for_classes_along(build: Build) -> None:
    tensors = pair(QUERY, 32, 32) | {"base_model.model.score.weight": torch.randn(3, 32)}
    folder = build(tensors, task_type="SEQ_CLS", modules_to_save=["score"])
    predictor = load_model(foreign_manifest(folder, "transformers", TEXT, ("a", "b", "c"), text=True), folder)
    scores = predictor.predict(np.zeros((2, 0)), np.array([["the quick"], ["dog"]], dtype=object))

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    model.score.weight.data = tensors["base_model.model.score.weight"]
    model.get_parameter(f"{QUERY}.weight").data += 3 * product(tensors, QUERY)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in ("the quick", "dog")]
    np.testing.assert_allclose(scores, torch.softmax(torch.stack(logits), dim=1).numpy(), atol=1e-6)


def test_a_tokenizer_beside_the_adapter_is_used_and_must_fit_the_base(build: Build) -> None:
    folder = build(pair(QUERY, 32, 32))
    plain = generator_of(folder).count_tokens("fox")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.chat_template = "{% for message in messages %}<user>{{ message['content'] }}</user>{% endfor %}"
    tokenizer.save_pretrained(folder / "adapter")
    assert generator_of(folder).count_tokens("fox") > plain
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder / "adapter")
    with pytest.raises(Inadmissible, match="tokens, but the base knows"):
        generator_of(folder)


@pytest.mark.parametrize(
    ("tensors", "changes", "problem"),
    [
        (pair("model.layers.9.self_attn.q_proj", 32, 32), {}, r"layers\.9\.self_attn\.q_proj, which the base lacks"),
        (pair(QUERY, 32, 48), {}, r"shape \(32, 48\), in the base it has \(32, 32\)"),
        (pair(QUERY, 32, 32, rank=8), {}, "has the rank 8; adapter_config.json has 4"),
        (pair("model.norm", 32, 32), {}, "a LlamaRMSNorm, which is not supported"),
        (dict(list(pair(QUERY, 32, 32).items())[:1]), {}, r"lacks base_model\.model\..*lora_B\.weight"),
        ({f"base_model.model.{QUERY}.lora_magnitude_vector": torch.ones(32)}, {}, "lora_magnitude_vector.*base lacks"),
        ({"transformer.q_proj.lora_A": torch.ones(4, 32)}, {}, "is no name of the PEFT library"),
        (pair(QUERY, 32, 32), {"use_dora": True}, "use_dora: is not supported; merge it"),
    ],
    ids=["module", "shape", "rank", "layer", "half", "tensor", "names", "dora"],
)
def test_a_tensor_or_setting_that_does_not_fit_is_named(
    build: Build, tensors: Tensors, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(Inadmissible, match=problem):
        generator_of(build(tensors, **changes))


def test_pickled_tensors_are_refused_without_loading_anything(build: Build) -> None:
    folder = build(pair(QUERY, 32, 32))
    (folder / "adapter/adapter_model.safetensors").rename(folder / "adapter/adapter_model.bin")
    manifest = foreign_manifest(folder, "transformers", TEXT, text=True, output=REPLY)
    with pytest.raises(Inadmissible, match=r"adapter_model\.safetensors: is missing"):
        check_admissible(manifest, folder)


def test_an_adapter_on_quantised_weights_is_refused_before_they_are_loaded(build: Build) -> None:
    folder = build(pair(QUERY, 32, 32))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    manifest = foreign_manifest(folder, "transformers", TEXT, text=True, output=REPLY)
    with pytest.raises(Inadmissible, match=r"config\.json: has a quantization_config: .*register the unquantised base"):
        check_admissible(manifest, folder)
