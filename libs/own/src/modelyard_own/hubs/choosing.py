"""Which files of a repository a version needs: one copy of the weights, without code, pickles and documentation."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

from modelyard_contracts.manifest import FILE_PATH
from modelyard_own.description import DESCRIPTION_FILE
from modelyard_own.errors import UnfitModel
from modelyard_own.remote import RemoteFile

SAFETENSORS: Final = ".safetensors"
PICKLES: Final = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"})
OTHER_WEIGHTS: Final = frozenset(
    {".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".gguf", ".tflite", ".mlmodel", ".xml", ".pt2", ".keras"}
)
"""Weights that repeat those in safetensors."""
DOCUMENTS: Final = frozenset({".md", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf", ".ipynb", ".mp4"})
WHOLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
SHARD: Final = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


@dataclass(frozen=True)
class Choice:
    """Files to download, and those left out with the reason."""

    taken: tuple[RemoteFile, ...]
    left_out: tuple[tuple[RemoteFile, str], ...]

    @property
    def size_bytes(self) -> int:
        """Of the files to download."""
        return sum(file.size_bytes for file in self.taken)


def choose(files: Sequence[RemoteFile], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Choice:
    """Choose files. include, exclude: patterns such as `onnx/*` that add and remove; UnfitModel if no weights are left.

    Hidden files, `modelyard.yaml` and names that no manifest can hold are never taken: a repository states no facts of
    this platform.
    """
    names = {file.path for file in files}
    safe = any("/" not in name and name.endswith(SAFETENSORS) for name in names)
    reasons = {file: _reason(file.path, names, include, exclude, safe=safe) for file in files}
    taken = tuple(sorted((file for file, why in reasons.items() if why is None), key=lambda file: file.path))
    left_out = tuple((file, why) for file, why in reasons.items() if why is not None)
    _require_weights(taken, names)
    return Choice(taken, left_out)


def _reason(name: str, names: set[str], include: Sequence[str], exclude: Sequence[str], *, safe: bool) -> str | None:
    """Why a file is left out; None to take it. safe: whether the repository has weights in safetensors at its root."""
    if any(part.startswith(".") for part in name.split("/")) or name == DESCRIPTION_FILE:
        return "not of the model"
    if not re.fullmatch(FILE_PATH, name) or "" in name.split("/"):
        return "its name has other characters than a to z, A to Z, digits, '_', '-', '.' and '/'"
    if any(fnmatchcase(name, pattern) for pattern in exclude):
        return "excluded"
    if any(fnmatchcase(name, pattern) for pattern in include):
        return None
    return _by_default(name, names, safe=safe)


def _by_default(name: str, names: set[str], *, safe: bool) -> str | None:
    suffix = _suffix(name)
    if suffix in DOCUMENTS:
        return "documentation"
    if suffix == ".py":
        return "code, which is not run"
    if suffix in PICKLES:
        return "a pickle, which is never loaded"
    return _beside_safetensors(name, suffix, names) if safe else None


def _beside_safetensors(name: str, suffix: str, names: set[str]) -> str | None:
    """Of a repository with weights in safetensors at its root."""
    if "/" in name:
        return "in a folder of its own"
    if suffix in OTHER_WEIGHTS:
        return "the weights for another framework"
    if suffix == ".model" and "tokenizer.json" in names:
        return "tokenizer.json has the same content"
    if suffix != SAFETENSORS or name == WHOLE:
        return None
    another = WHOLE in names or (INDEX in names and not SHARD.fullmatch(name))
    return "another copy of the weights" if another else None


def _require_weights(taken: Sequence[RemoteFile], names: set[str]) -> None:
    if not taken:
        raise UnfitModel("no file is left to import; see --include and --exclude")
    pickles = sorted(name for name in names if _suffix(name) in PICKLES)
    if pickles and not any(_suffix(name) in {SAFETENSORS, ".skops", ".ubj", *OTHER_WEIGHTS} for name in names):
        raise UnfitModel(
            f"its weights are in {', '.join(pickles[:3])}: pickles, which can run code and are never loaded; look for "
            "a revision with model.safetensors (often --revision refs/pr/1), or convert it and register its folder"
        )


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
