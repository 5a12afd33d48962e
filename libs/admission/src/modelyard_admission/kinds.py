"""Framework and flavour of a model file, as far as its own content states them."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.limits import Budget
from modelyard_admission.pickles.streams import walk
from modelyard_admission.pickles.values import Made, Name, Table, Value
from modelyard_admission.readers.compressed import decompress
from modelyard_admission.readers.gguf import read_gguf
from modelyard_admission.readers.onnx import read_model
from modelyard_admission.readers.zips import read_zip, unpack


@dataclass(frozen=True, slots=True)
class Kind:
    """Either `flavour`, or `reason` and `remedy`."""

    framework: str | None
    version: str | None = None
    flavour: str | None = None
    reason: str | None = None
    remedy: str | None = None


def kind_of(format_: str, data: Data, budget: Budget) -> Kind:
    """The kind of a file of one of MODEL_FORMATS (a pickle may be compressed: `pickle+gzip`)."""
    base, _, packing = format_.partition("+")
    try:
        content = decompress(data, packing, budget) if packing else data
        return MODEL_FORMATS[base](content, budget)
    except (Malformed, ValueError, RecursionError) as error:
        return Kind(None, reason=f"the file is damaged: {error}", remedy="Save it again, and compare its size.")


def _onnx(data: Data, budget: Budget) -> Kind:
    model = read_model(data)
    producer = f"{model.producer} {model.producer_version}".strip()
    return Kind("onnx", producer or None, "onnx")


def _xgboost_json(data: Data, budget: Budget) -> Kind:
    """The version is a list of three numbers at the start or the end of the document."""
    parts = re.findall(rb'"version"\s*:\s*\[(\d+),\s*(\d+),\s*(\d+)\]', data[:4096] + data[-4096:])
    return Kind("xgboost", ".".join(part.decode() for part in parts[0]) if parts else None, "xgboost")


def _xgboost_ubj(data: Data, budget: Budget) -> Kind:
    return Kind("xgboost", None, "xgboost")


def _lightgbm(data: Data, budget: Budget) -> Kind:
    match = re.search(rb"^version=(\S+)", data[:4096], re.MULTILINE)
    return Kind("lightgbm", match[1].decode("ascii", "replace") if match else None, "lightgbm")


def _skops(data: Data, budget: Budget) -> Kind:
    archive = read_zip(data, budget)
    member = archive.find("schema.json")
    schema = json.loads(unpack(archive, member, budget)) if member else {}
    return Kind("scikit-learn", _first(schema, "_sklearn_version"), "skops")


def _first(schema: Any, key: str) -> str | None:
    """The text that skops stores below `key`, wherever it is first."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        children: Iterable[Any] = (
            value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        )
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            return str(value[key].get("content", "")).strip('"') or None
        waiting.extend(children)
    return None


def _torch_export(data: Data, budget: Budget) -> Kind:
    return Kind("torch", None, "torch-export")


def _gguf(data: Data, budget: Budget) -> Kind:
    """A whole language model with its tokenizer; other GGUF files hold a part of one."""
    file = read_gguf(data)
    stated, parts = file.metadata, file.metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        return Kind("gguf", reason=f"it is one of {parts} parts", remedy="Merge them: llama-gguf-split --merge.")
    if stated.get("general.type", "model") != "model" or not file.tensors or "general.architecture" not in stated:
        remedy = "Register the GGUF file of the whole model."
        return Kind("gguf", reason="it is no whole model, such as an adapter or a vocabulary", remedy=remedy)
    if "tokenizer.ggml.tokens" not in stated:
        remedy = "Convert the model once more, with its tokenizer beside it (convert_hf_to_gguf.py of llama.cpp)."
        return Kind("gguf", reason="its tokenizer is missing", remedy=remedy)
    return Kind("gguf", flavour="transformers")


def _torchscript(data: Data, budget: Budget) -> Kind:
    return Kind(
        "torch",
        reason="TorchScript holds code of its own and is deprecated",
        remedy="Export the original module: torch.export.save(torch.export.export(module, example), 'model.pt2').",
    )


def _torch(data: Data, budget: Budget) -> Kind:
    archive = read_zip(data, budget)
    member = next((member for member in archive.members if member.name.endswith("data.pkl")), None)
    return _torch_kind(walk(unpack(archive, member, budget), budget).records[-1].result if member else None)


def _torch_kind(root: Value) -> Kind:
    if isinstance(root, Made) and isinstance(root.callee, Name) and not root.is_of("collections.OrderedDict"):
        reason = f"it is a pickled torch module ({root.callee.full}), which needs its source code to load"
        return Kind("torch", reason=reason, remedy=_TORCH_REMEDY)
    reason = "it is a state dict of torch: weights without the network that they belong to"
    return Kind("torch", reason=reason, remedy=_STATE_REMEDY)


_TORCH_REMEDY: Final = (
    "Export the network with its weights: torch.export.save(torch.export.export(module.eval(), example), 'model.pt2'); "
    "or add a predict.py that builds the network and loads the weights (from safetensors)."
)
_STATE_REMEDY: Final = (
    "State the class of the network, in a file beside the weights: --class module:Class --allow-code. Or export the "
    "network with its weights: torch.export.save(torch.export.export(module.eval(), example), 'model.pt2')."
)
_PICKLE_REMEDIES: Final = {
    "scikit-learn": "Save it with skops.io.dump(model, 'model.skops'), or convert it with skl2onnx.",
    "xgboost": "Save it with model.save_model('model.ubj').",
    "lightgbm": "Save it with model.booster_.save_model('model.txt').",
    "torch": _TORCH_REMEDY,
}
_FRAMEWORKS: Final = {"sklearn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm", "torch": "torch"}


def _pickle(data: Data, budget: Budget) -> Kind:
    streams = walk(data, budget)
    if streams.legacy_torch:
        return _torch_kind(streams.records[3].result if len(streams.records) > 3 else None)
    packages = {name.module.partition(".")[0] for name in streams.names}
    found = [_FRAMEWORKS[package] for package in ("xgboost", "lightgbm", "sklearn", "torch") if package in packages]
    framework = found[0] if found else None
    version = _sklearn_version(streams.records[0].result) if framework == "scikit-learn" else None
    what = f"a pickled {framework} model" if framework else "a pickle"
    remedy = _PICKLE_REMEDIES.get(
        framework or "", "Save the model in the format of its framework, or add a predict.py."
    )
    return Kind(framework, version, None, f"it is {what}, and pickles can run code when they are loaded", remedy)


def _sklearn_version(root: Value) -> str | None:
    state = root.state if isinstance(root, Made) else None
    found = state.entries.get("_sklearn_version") if isinstance(state, Table) else None
    return found if isinstance(found, str) else None


def _no_flavour(framework: str | None, reason: str, remedy: str) -> Callable[[Data, Budget], Kind]:
    return lambda data, budget: Kind(framework, reason=reason, remedy=remedy)


_KERAS_REMEDY: Final = (
    "Convert it to ONNX (tf2onnx, or model.export('model.onnx', format='onnx') with Keras 3); or add a predict.py."
)
MODEL_FORMATS: Final[dict[str, Callable[[Data, Budget], Kind]]] = {
    "onnx": _onnx,
    "xgboost-json": _xgboost_json,
    "xgboost-ubj": _xgboost_ubj,
    "lightgbm": _lightgbm,
    "skops": _skops,
    "torch-export": _torch_export,
    "torchscript": _torchscript,
    "torch": _torch,
    "pickle": _pickle,
    "container-image": lambda data, budget: Kind(None, None, "container"),
    "api-model": lambda data, budget: Kind(None, None, "external-api"),
    "safetensors": _no_flavour(
        None,
        "safetensors hold weights without the network that they belong to",
        "Add config.json and the tokenizer of a transformers model, state the class of a torch network by --class "
        "module:Class, use torch.export, or add a predict.py.",
    ),
    "keras": _no_flavour("keras", "no flavour serves .keras files", _KERAS_REMEDY),
    "hdf5": _no_flavour("keras", "no flavour serves HDF5 files (.h5)", _KERAS_REMEDY),
    "gguf": _gguf,
    "npz": _no_flavour("numpy", "arrays of numpy are weights without a model", "Add a predict.py that uses them."),
    "npy": _no_flavour("numpy", "an array of numpy is no model", "Add a predict.py that uses it."),
    "native-code": _no_flavour(
        None, "it is a native library or program", "Add a predict.py that describes how to call it."
    ),
    "7z": _no_flavour(None, "it is a 7z archive, which is not unpacked", "Unpack it, and register the folder."),
    "rar": _no_flavour(None, "it is a RAR archive, which is not unpacked", "Unpack it, and register the folder."),
    "zip": _no_flavour(None, "it is a zip archive", "Unpack it, and register the folder."),
    "tar": _no_flavour(None, "it is a tar archive", "Unpack it, and register the folder."),
    **{
        name: _no_flavour(None, f"it is compressed ({name})", "Unpack it.")
        for name in ("gzip", "zlib", "bz2", "xz", "lzma")
    },
}
"""How to find the kind of each format that can be a model."""
