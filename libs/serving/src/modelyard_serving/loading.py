"""From a folder to a warm predictor: verify every digest first, then let the flavour load."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from pydantic import ValidationError

from modelyard_contracts.manifest import FileEntry, ModelManifest
from modelyard_serving.errors import Unloadable

MANIFEST_FILE: Final = "manifest.json"
_CHUNK_BYTES: Final = 1 << 20


class Predictor(Protocol):
    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the scores' columns; empty for a regression."""

    def predict(self, numeric: Any, categorical: Any) -> Any:
        """Scores (rows, n_classes). numeric: (rows, n_num), NaN missing; categorical: (rows, n_cat), None missing."""


Load = Callable[[ModelManifest, Path], Predictor]


@dataclass(frozen=True)
class LoadedModel:
    manifest: ModelManifest
    digest: str
    version: str
    classes: tuple[str, ...]
    predictor: Predictor


def load(folder: Path, version: str, flavour_load: Load | None = None) -> LoadedModel:
    """Read `manifest.json`, verify every file, load, and answer one warm-up row; Unloadable says why not."""
    manifest = read_manifest(folder)
    for entry in manifest.files:
        verify(folder, entry)
    predictor = (flavour_load or _flavour_load)(manifest, folder)
    classes = tuple(predictor.classes) or manifest.feature_schema.classes
    warm_up(manifest, predictor, classes)
    return LoadedModel(manifest, manifest.digest, version, classes, predictor)


def read_manifest(folder: Path) -> ModelManifest:
    file = folder / MANIFEST_FILE
    try:
        return ModelManifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise Unloadable(f"cannot read {file}: {error.strerror}; --model-dir must hold the version's files") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise Unloadable(f"{file}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def verify(folder: Path, entry: FileEntry) -> None:
    """The file is there and has the manifest's size and digest."""
    file = folder / entry.path
    try:
        if (size := file.stat().st_size) != entry.size_bytes:
            raise Unloadable(f"{entry.path}: {size} bytes, the manifest says {entry.size_bytes}; download it again")
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise Unloadable(f"{entry.path}: cannot read it: {error.strerror}; download it again") from error
    if f"sha256:{digest.hexdigest()}" != entry.digest:
        raise Unloadable(f"{entry.path}: its digest is not the manifest's; the file was changed, download it again")


def warm_up(manifest: ModelManifest, predictor: Predictor, classes: tuple[str, ...]) -> None:
    """Answer one row of zeros and unseen words, so that the first caller does not pay for lazy set-up."""
    schema = manifest.feature_schema
    categorical = np.full((1, len(schema.categorical)), "", dtype=object)
    try:
        scores = np.asarray(predictor.predict(np.zeros((1, len(schema.numeric))), categorical))
    except Exception as error:
        raise Unloadable(f"the warm-up prediction failed: {type(error).__name__}: {error}") from error
    columns = scores.shape[1] if scores.ndim == 2 else 1
    if len(scores) != 1 or (classes and columns != len(classes)):
        raise Unloadable(f"the warm-up gave scores of shape {scores.shape} for {len(classes)} classes")


def _flavour_load(manifest: ModelManifest, folder: Path) -> Predictor:
    from modelyard_flavours import load_model

    try:
        predictor: Predictor = load_model(manifest, folder)
    except ImportError as error:
        raise Unloadable(
            f"flavour {manifest.flavour} needs {error.name}; install modelyard-flavours with it"
        ) from error
    except Exception as error:
        raise Unloadable(f"flavour {manifest.flavour}: {type(error).__name__}: {error}") from error
    return predictor
