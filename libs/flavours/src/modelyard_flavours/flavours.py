"""Save, check and load by the flavour's name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from modelyard_contracts.manifest import FileEntry, ModelManifest
from modelyard_flavours import echo_flavour, mlp_flavour, online_flavour, sklearn_flavour, text_flavour
from modelyard_flavours.errors import FlavourError, Inadmissible, UnknownFlavour, Unloadable
from modelyard_flavours.files import entry_of, read_verified
from modelyard_flavours.foreign import (
    lightgbm_flavour,
    onnx_flavour,
    python_flavour,
    skops_flavour,
    torch_export,
    torch_state,
    transformers_flavour,
    xgboost_flavour,
)
from modelyard_flavours.lean import without_unneeded
from modelyard_flavours.predictor import Generator, Predictor
from modelyard_flavours.providers import flavour as provider_flavour
from modelyard_flavours.version import Version

MANIFEST: Final = "manifest.json"

_OWN: Final = (sklearn_flavour, mlp_flavour, text_flavour, online_flavour, echo_flavour)
"""Flavours of models that this platform trains: saved here, and read into memory."""
_FOREIGN: Final = (
    onnx_flavour,
    xgboost_flavour,
    lightgbm_flavour,
    skops_flavour,
    transformers_flavour,
    torch_export,
    torch_state,
    python_flavour,
    provider_flavour,
)
"""Flavours of models that others made: a variable list of files, opened by path."""
_FLAVOURS: Final[dict[str, ModuleType]] = {module.NAME: module for module in (*_OWN, *_FOREIGN)}
FLAVOURS: Final = tuple(_FLAVOURS)
FOREIGN_FLAVOURS: Final = tuple(module.NAME for module in _FOREIGN)


def save_model(flavour: str, fitted: object, folder: Path) -> tuple[FileEntry, ...]:
    """Write a fitted model's files into `folder` (created if absent) and return the manifest's lines for them.

    fitted: FittedSklearn, FittedMlp, FittedText, FittedOnline or Echo. Inadmissible if loading would refuse it.
    UnknownFlavour for a flavour of models that others made: their files are saved by their own libraries.
    """
    module = _own(flavour)
    folder.mkdir(parents=True, exist_ok=True)
    with without_unneeded(flavour):
        module.save(fitted, folder)
    return tuple(entry_of(folder, path) for path in module.FILES)


def check_admissible(manifest: ModelManifest, folder: Path) -> None:
    """Inadmissible, naming file and type, unless the flavour's files are present, unaltered and allowed.

    Builds no object from the artifact.
    """
    module = _module(manifest.flavour)
    with without_unneeded(manifest.flavour):
        module.check(_opened(module, manifest, folder))


def load_model(manifest: ModelManifest, folder: Path, connection: Path | None = None) -> Predictor:
    """Verify digests, check, load. Reads each file once: the bytes that were checked are the bytes that are built.

    connection: file with the ConnectionAccess of a model of a provider. Inadmissible for a flavour that generates text.
    """
    predictor: Predictor = _load_by(manifest, folder, "load", connection)
    return predictor


def load_generator(manifest: ModelManifest, folder: Path, connection: Path | None = None) -> Generator:
    """The same for a version whose task is `text`; Inadmissible for a flavour that answers rows."""
    generator: Generator = _load_by(manifest, folder, "load_generator", connection)
    return generator


def _load_by(manifest: ModelManifest, folder: Path, function: str, connection: Path | None) -> Any:
    module = _module(manifest.flavour)
    if not hasattr(module, function):
        answers = "rows, not a text" if function == "load_generator" else "a text, not rows"
        raise Inadmissible(MANIFEST, f"flavour {manifest.flavour} answers {answers}")
    model = _load(getattr(module, function), manifest, _opened(module, manifest, folder, connection))
    _check_signature(manifest, model, getattr(module, "ENCODING", MANIFEST))
    return model


def _opened(
    module: ModuleType, manifest: ModelManifest, folder: Path, connection: Path | None = None
) -> Version | Mapping[str, bytes]:
    """Verified files, in the form that the flavour takes."""
    if module in _FOREIGN:
        return Version.verified(manifest, folder, connection)
    return read_verified(manifest, folder, module.FILES)


def _check_signature(manifest: ModelManifest, predictor: Predictor | Generator, file: str) -> None:
    expected = manifest.signature
    if predictor.classes != expected.classes:
        raise Inadmissible(file, f"has the classes {predictor.classes}; the manifest has {expected.classes}")
    shape = (len(expected.numeric), len(expected.categorical))
    if predictor.shape != shape:
        raise Inadmissible(file, f"takes {predictor.shape} (numeric, categorical) features, not {shape}")


def predictor_of(flavour: str, fitted: object) -> Predictor:
    """The predictor of a fitted model that is not saved yet; Inadmissible as in save_model."""
    with without_unneeded(flavour):
        predictor: Predictor = _own(flavour).predictor(fitted)
    return predictor


def environment(flavour: str) -> dict[str, str]:
    """Versions of the packages that loading needs; for ModelManifest.environment."""
    versions: dict[str, str] = _module(flavour).environment()
    return versions


def _load(load: Callable[[Any], Any], manifest: ModelManifest, files: Any) -> Any:
    try:
        with without_unneeded(manifest.flavour):
            return load(files)
    except (FlavourError, MemoryError):
        raise
    except Exception as error:
        raise Unloadable(manifest, environment(manifest.flavour), error) from error


def needs_confinement(manifest: ModelManifest) -> bool:
    """Whether a version holds code, or files that a large library of others parses."""
    return manifest.permissions.code or manifest.flavour in FOREIGN_FLAVOURS


def options(flavour: str) -> Mapping[str, str]:
    """Names of the `manifest.options` that a flavour knows, with their meaning."""
    return getattr(_module(flavour), "OPTIONS", {})


def _own(flavour: str) -> ModuleType:
    own = {module.NAME: module for module in _OWN}
    if flavour not in own:
        raise UnknownFlavour(flavour, tuple(own))
    return own[flavour]


def _module(flavour: str) -> ModuleType:
    if flavour not in _FLAVOURS:
        raise UnknownFlavour(flavour, FLAVOURS)
    return _FLAVOURS[flavour]
