"""Files and folders are recognised by content; every model has a flavour, or a reason and a way out."""

import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from tarfile import TarInfo

import numpy as np
import pytest
from libs.admission.tests import corpus

from modelyard_admission import NoModel, SeveralModels, recognise
from modelyard_admission.formats import recognise_format

CONTENTS: dict[str, bytes] = {
    "pickle": pickle.dumps([1], 4),
    "safetensors": corpus.safetensors({"a": corpus.tensor(0, 4)}, bytes(4)),
    "onnx": corpus.onnx(),
    "gguf": corpus.gguf(),
    "hdf5": corpus.hdf5({}),
    "keras": corpus.keras({}),
    "skops": corpus.skops({"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode"}),
    "torch": corpus.torch_zip(b"\x80\x02}."),
    "torchscript": corpus.torch_zip(b"\x80\x02}.", **{"m/code/__torch__.py": b"pass"}),
    "zip": corpus.zipped({"a.txt": b"x"}),
    "tar": corpus.tarred(TarInfo("a.txt"), b"x"),
    "gzip": gzip.compress(b"x"),
    "json": b'{"a": [1, 2]}',
    "container-image": b'{"image":"registry.example/m@sha256:0","kind":"container-image"}',
    "api-model": b'{"endpoint":"https://api.example","kind":"api-model"}',
    "jsonl": b'{"a": 1}\n{"a": 2}\n',
    "yaml": b"name: model\nlayers:\n  - 1\n",
    "csv": b"a,b\n1,2\n3,4\n",
    "python": b"import numpy\n\n\ndef predict(rows):\n    return rows\n",
    "markdown": b"# Title\n\nSome words.\n",
    "text": b"numpy==2.0\nscipy==1.0\n",
    "script": b"#!/bin/sh\necho\n",
    "lightgbm": b"tree\nversion=v4\nnum_class=1\n",
    "xgboost-json": b'{"learner":{"attributes":{}},"version":[3,2,0]}',
    "native-code": b"\x7fELF" + bytes(60),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(26),
    "empty": b"",
    "unknown": bytes(range(1, 255)),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_format_is_recognised_by_content(name: str) -> None:
    assert recognise_format(CONTENTS[name]) == name


@pytest.mark.parametrize("words", [b"cat\ndog\nbird\n", b"N.\n", b"I am a text.\n", b"to\nthe\n", b"(see below)\n"])
def test_words_that_start_like_an_old_pickle_are_a_text(words: bytes) -> None:
    assert recognise_format(words) == "text"


@pytest.mark.parametrize("name", ["protocol 0 text", "INST opcode", "OBJ opcode", "commands of Python 2"])
def test_a_pickle_without_a_magic_number_is_a_pickle(name: str) -> None:
    assert recognise_format(corpus.MALICIOUS[name]()) == "pickle"


def _folder(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


TRANSFORMERS: dict[str, bytes | str] = {
    "config.json": json.dumps({"model_type": "bert", "transformers_version": "5.23.0"}),
    "model.safetensors": CONTENTS["safetensors"],
    "tokenizer.json": "{}",
    "README.md": "# Card\n",
}
MLMODEL = """artifact_path: model
flavors:
  python_function:
    loader_module: mlflow.lightgbm
  lightgbm:
    lgb_version: 4.7.0
"""
WEIGHTS = CONTENTS["safetensors"]
MODELS: dict[str, tuple[dict[str, bytes | str], str, str | None, str | None]] = {
    # files, format, framework, flavour
    "onnx": ({"a.bin": CONTENTS["onnx"]}, "onnx", "onnx", "onnx"),
    "xgboost": ({"a.txt": CONTENTS["xgboost-json"]}, "xgboost-json", "xgboost", "xgboost"),
    "lightgbm": ({"a": CONTENTS["lightgbm"]}, "lightgbm", "lightgbm", "lightgbm"),
    "transformers": (TRANSFORMERS, "transformers", "transformers", "transformers"),
    "code": ({"predict.py": CONTENTS["python"], "w.safetensors": WEIGHTS}, "python", "python", "python"),
    "mlflow": ({"MLmodel": MLMODEL, "model.lgb": CONTENTS["lightgbm"]}, "mlflow", "lightgbm", "lightgbm"),
    "adapter": ({"adapter_config.json": '{"peft_type": "LORA"}', "a": WEIGHTS}, "peft-adapter", "peft", None),
    "keras": ({"a.keras": CONTENTS["keras"]}, "keras", "keras", None),
    "state dict": ({"a.pt": CONTENTS["torch"]}, "torch", "torch", None),
    "weights": ({"a.safetensors": CONTENTS["safetensors"]}, "safetensors", None, None),
    "gguf": ({"a.bin": corpus.gguf_model(), "README.md": "# Card\n"}, "gguf", "gguf", "transformers"),
    "gguf with config.json": (
        {"a.gguf": corpus.gguf_model(), "config.json": TRANSFORMERS["config.json"]}, "gguf", "gguf", "transformers"
    ),
    "gguf beside safetensors": (
        TRANSFORMERS | {"a.gguf": corpus.gguf_model()}, "transformers", "transformers", "transformers"
    ),
    "part of a gguf": ({"a.gguf": corpus.gguf_model(parts=2)}, "gguf", "gguf", None),
    "gguf adapter": ({"a.gguf": corpus.gguf_model(type_="adapter")}, "gguf", "gguf", None),
    "gguf without tokenizer": ({"a.gguf": corpus.gguf_model(tokens=None)}, "gguf", "gguf", None),
    "damaged gguf": ({"a.gguf": corpus.gguf_model()[:-1]}, "gguf", None, None),
    "packed pickle": ({"a.joblib": gzip.compress(CONTENTS["pickle"])}, "pickle+gzip", None, None),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_a_flavour_or_a_way_out(tmp_path: Path, name: str) -> None:
    files, format_, framework, flavour = MODELS[name]

    model = recognise(_folder(tmp_path, files))

    assert (model.format, model.framework, model.flavour) == (format_, framework, flavour)
    assert (model.reason is None and model.remedy is None) == (flavour is not None)
    assert {file.path for file in model.files} == set(files)


def test_a_pickled_model_names_its_framework_and_version(tmp_path: Path) -> None:
    from sklearn import __version__
    from sklearn.linear_model import Ridge

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Ridge().fit(np.eye(2), [0, 1])))

    model = recognise(tmp_path / "model.pkl")

    assert (model.framework, model.framework_version) == ("scikit-learn", __version__)
    assert model.remedy is not None and "skops.io.dump" in model.remedy


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: files | {"config.json": '{"model_type": "x", "auto_map": {"AutoModel": "m.M"}}'}, "auto_map"),
        (lambda files: {name: files[name] for name in files if name != "tokenizer.json"}, "tokenizer"),
        (lambda files: {name: files[name] for name in files if name != "model.safetensors"}, "safetensors"),
    ],
    ids=["code", "no tokenizer", "no weights"],
)
def test_an_incomplete_transformers_folder_says_what_is_missing(
    tmp_path: Path, change: Callable[[dict[str, bytes | str]], dict[str, bytes | str]], reason: str
) -> None:
    model = recognise(_folder(tmp_path, change(TRANSFORMERS)))

    assert model.flavour is None
    assert model.reason is not None and reason in model.reason


def test_no_model_and_several_models_name_the_files(tmp_path: Path) -> None:
    empty = _folder(tmp_path / "a", {"notes.md": "# Notes\n"})
    double = _folder(tmp_path / "b", {"one.onnx": CONTENTS["onnx"], "two.txt": CONTENTS["lightgbm"]})

    with pytest.raises(NoModel, match=r"notes\.md \(markdown\)"):
        recognise(empty)
    with pytest.raises(SeveralModels, match=r"one\.onnx \(onnx\), two\.txt \(lightgbm\)"):
        recognise(double)
