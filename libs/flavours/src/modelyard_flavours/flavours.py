"""Save, check and load by the flavour's name."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from modelyard_contracts.manifest import FileEntry, ModelManifest
from modelyard_flavours import echo_flavour, mlp_flavour, online_flavour, sklearn_flavour, text_flavour
from modelyard_flavours.errors import Inadmissible, MissingExtra, UnknownFlavour, Unloadable
from modelyard_flavours.files import entry_of, read_verified
from modelyard_flavours.lean import without_unneeded
from modelyard_flavours.predictor import Generator, Predictor

_MODULES: Final = (sklearn_flavour, mlp_flavour, text_flavour, online_flavour, echo_flavour)
_FLAVOURS: Final[dict[str, ModuleType]] = {module.NAME: module for module in _MODULES}
FLAVOURS: Final = tuple(_FLAVOURS)


def save_model(flavour: str, fitted: object, folder: Path) -> tuple[FileEntry, ...]:
    """Write a fitted model's files into `folder` (created if absent) and return the manifest's lines for them.

    fitted: FittedSklearn, FittedMlp, FittedText, FittedOnline or Echo. Inadmissible if loading would refuse it.
    """
    module = _module(flavour)
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
        module.check(read_verified(manifest, folder, module.FILES))


def load_model(manifest: ModelManifest, folder: Path) -> Predictor:
    """Verify digests, check, load. Reads each file once: the bytes that were checked are the bytes that are built.

    Inadmissible for a flavour that generates text.
    """
    predictor: Predictor = _load_by(manifest, folder, "load")
    return predictor


def load_generator(manifest: ModelManifest, folder: Path) -> Generator:
    """The same for a version whose task is `text`; Inadmissible for a flavour that answers rows."""
    generator: Generator = _load_by(manifest, folder, "load_generator")
    return generator


def _load_by(manifest: ModelManifest, folder: Path, function: str) -> Any:
    module = _module(manifest.flavour)
    if not hasattr(module, function):
        answers = "rows, not a text" if function == "load_generator" else "a text, not rows"
        raise Inadmissible(module.ENCODING, f"flavour {manifest.flavour} answers {answers}")
    model = _load(getattr(module, function), manifest, read_verified(manifest, folder, module.FILES))
    _check_signature(manifest, model, module.ENCODING)
    return model


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
        predictor: Predictor = _module(flavour).predictor(fitted)
    return predictor


def environment(flavour: str) -> dict[str, str]:
    """Versions of the packages that loading needs; for ModelManifest.environment."""
    versions: dict[str, str] = _module(flavour).environment()
    return versions


def _load(load: Callable[[Any], Any], manifest: ModelManifest, files: Any) -> Any:
    try:
        with without_unneeded(manifest.flavour):
            return load(files)
    except (Inadmissible, MissingExtra):
        raise
    except Exception as error:
        raise Unloadable(manifest, environment(manifest.flavour), error) from error


def _module(flavour: str) -> ModuleType:
    if flavour not in _FLAVOURS:
        raise UnknownFlavour(flavour, FLAVOURS)
    return _FLAVOURS[flavour]
