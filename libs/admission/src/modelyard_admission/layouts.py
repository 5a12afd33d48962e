"""Folders whose files together are a model: MLflow, transformers, PEFT adapters, predict.py."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelyard_admission.buffers import opened
from modelyard_admission.errors import Malformed
from modelyard_admission.kinds import MODEL_FORMATS, Kind
from modelyard_admission.readers.texts import decode, read_json

_MAX_BYTES: Final = 16 * 1024 * 1024
_TOKENIZERS: Final = frozenset(
    {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "tokenizer.model"}
)


@dataclass(frozen=True, slots=True)
class Layout:
    """`inner` is the model file of an MLflow folder."""

    format: str
    main: str
    kind: Kind
    inner: str | None = None
    inner_format: str = ""


def layout_of(root: Path, formats: Mapping[str, str]) -> Layout | None:
    """The layout that a folder's files form; None if it has none. formats: format by path."""
    if "predict.py" in formats:
        return Layout("python", "predict.py", Kind("python", None, "python"))
    if "MLmodel" in formats:
        return _mlflow(root, formats)
    if "adapter_config.json" in formats:
        return _adapter(root)
    if "config.json" in formats and not _only_gguf(formats):
        return _transformers(root, formats)
    return None


def _only_gguf(formats: Mapping[str, str]) -> bool:
    """Whether the weights are in GGUF, which is a model by itself: it brings its configuration along."""
    return "gguf" in formats.values() and "safetensors" not in formats.values()


def _json(path: Path) -> dict[str, Any]:
    with suppress(Malformed, OSError), opened(path) as data:
        content = read_json(data, _MAX_BYTES)
        return content if isinstance(content, dict) else {}
    return {}


def _adapter(root: Path) -> Layout | None:
    config = _json(root / "adapter_config.json")
    if "peft_type" not in config:
        return None
    base = config.get("base_model_name_or_path") or "its base model"
    remedy = (
        f"Register {base}, then the adapter with --base and the name of that model; or merge it: "
        "model.merge_and_unload().save_pretrained(folder), with the tokenizer."
    )
    kind = Kind("peft", _text(config.get("peft_version")), None, "an adapter is only a part of a model", remedy)
    return Layout("peft-adapter", "adapter_config.json", kind)


def _transformers(root: Path, formats: Mapping[str, str]) -> Layout | None:
    config = _json(root / "config.json")
    weights = sorted(path for path, format_ in formats.items() if format_ == "safetensors")
    if "model_type" not in config:
        return None
    version = _text(config.get("transformers_version"))
    return Layout("transformers", "config.json", _transformers_kind(config, version, weights, formats))


def _transformers_kind(
    config: dict[str, Any], version: str | None, weights: list[str], formats: Mapping[str, str]
) -> Kind:
    if config.get("auto_map"):
        reason = "it needs code of its own (auto_map), which is never run by the flavour transformers"
        return Kind(
            "transformers", version, None, reason, "Add a predict.py, and register it with the permission for code."
        )
    if not weights:
        reason = "its weights are not in safetensors"
        return Kind(
            "transformers",
            version,
            None,
            reason,
            "Save it with model.save_pretrained(folder, safe_serialization=True).",
        )
    if not _TOKENIZERS & set(formats):
        reason = "its tokenizer is missing"
        return Kind(
            "transformers", version, None, reason, "Save it beside the model: tokenizer.save_pretrained(folder)."
        )
    return Kind("transformers", version, "transformers")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


_FLAVOR: Final = re.compile(r"^  (\w+):\s*$", re.MULTILINE)
_VERSION: Final = re.compile(r"^    (\w+)_version: ['\"]?([\w.+-]+)", re.MULTILINE)


def _mlflow(root: Path, formats: Mapping[str, str]) -> Layout | None:
    """MLflow writes the flavors as an indented mapping; whatever it says about loading is not used."""
    try:
        with opened(root / "MLmodel") as data:
            text = decode(data, _MAX_BYTES)
    except (OSError, Malformed):
        return None
    section = text.partition("flavors:\n")[2]
    names = [name for name in _FLAVOR.findall(section) if name != "python_function"]
    if not section:
        return None
    versions = dict(_VERSION.findall(section))
    framework = {"sklearn": "scikit-learn", "pytorch": "torch"}.get(names[0], names[0]) if names else "python_function"
    version = versions.get(names[0]) if names else None
    inner = sorted(path for path, format_ in formats.items() if format_.partition("+")[0] in MODEL_FORMATS)
    kind = Kind(framework, version, None, "its model file is not recognised", "Register the model file itself.")
    if len(inner) != 1:
        return Layout("mlflow", "MLmodel", kind)
    return Layout("mlflow", "MLmodel", kind, inner[0], formats[inner[0]])
