"""From a folder to a warm model: verify every digest, load through the flavour, answer one warm-up request."""

import hashlib
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np

from modelyard_contracts.documents import DocumentError
from modelyard_contracts.inference import InferenceCodec
from modelyard_contracts.inference.generate import Prompt
from modelyard_contracts.manifest import FileEntry, ManifestFile, ModelManifest
from modelyard_contracts.signature import Signature, Task
from modelyard_serving.errors import Unloadable
from modelyard_serving.examples import inputs_of, read_example
from modelyard_serving.lanes import Inputs

MANIFEST_FILE: Final = "manifest.json"
_CHUNK_BYTES: Final = 1 << 20


class Predictor(Protocol):
    """A loaded model that answers rows. Called by one thread."""

    def predict(self, numeric: Any, categorical: Any) -> Any:
        """Scores (rows, classes) of a classifier, or values (rows,) or (rows, 1) of a regression.

        numeric: float64 (rows, numeric columns), NaN missing. categorical: object (rows, text columns), None missing.
        """


class Generator(Protocol):
    """Answers a text or a chat with a text. Called by one thread; see modelyard_flavours.Generator."""

    def generate(self, prompt: Prompt, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Pieces of the answer, one per token; the iterator is closed if the caller leaves."""

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt, for usage."""


Load = Callable[[ModelManifest, Path], Any]


@dataclass(frozen=True)
class LoadedModel:
    """A version that is ready to answer. model_object: a Generator if the task is `text`, else a Predictor."""

    manifest: ModelManifest
    digest: str
    """SHA-256 of the manifest's bytes as they lie in the folder."""
    version: str
    model_object: Any

    @property
    def name(self) -> str:
        return self.manifest.model

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @property
    def remote(self) -> bool:
        """Whether each answer is a call of a provider, which costs money and may fail for reasons of its own."""
        return bool(getattr(self.model_object, "remote", False))

    @property
    def predictor(self) -> Predictor:
        return cast(Predictor, self.model_object)

    @property
    def generator(self) -> Generator:
        return cast(Generator, self.model_object)


def load(folder: Path, version: str, flavour_load: Load | None = None, *, digest: str | None = None) -> LoadedModel:
    """Load the version in `folder`; Unloadable says why not.

    digest: the manifest's digest that the caller expects; None takes the manifest as it is.
    """
    file = read_manifest(folder)
    if digest is not None and file.digest != digest:
        raise Unloadable(f"{MANIFEST_FILE}: its digest is {file.digest}, not {digest}; download the version again")
    for entry in file.manifest.files:
        verify(folder, entry)
    try:
        loaded = (flavour_load or _flavour_load)(file.manifest, folder)
        model = LoadedModel(file.manifest, file.digest, version, loaded)
        warm_up(model, first_row(file.manifest, folder))
    except MemoryError as error:
        raise Unloadable(_no_memory()) from error
    return model


def _no_memory() -> str:
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    shown = "this machine has" if limit == resource.RLIM_INFINITY else f"its limit of {limit >> 20} MiB"
    return f"the model needs more memory than {shown}; serve a smaller model, or raise DEPLOYER_REPLICA_MEMORY_MIB"


def read_manifest(folder: Path) -> ManifestFile:
    """The manifest with the bytes it was read from."""
    file = folder / MANIFEST_FILE
    try:
        return ManifestFile.read(file.read_bytes())
    except OSError as error:
        raise Unloadable(f"cannot read {file}: {error.strerror}; --model-dir must hold the version's files") from error
    except DocumentError as error:
        raise Unloadable(f"{file}: {error}") from error


def verify(folder: Path, entry: FileEntry) -> None:
    """Check that the file exists with the manifest's size and digest."""
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


def first_row(manifest: ModelManifest, folder: Path) -> Inputs:
    """One row for the warm-up: the example's first, else zeros and empty texts."""
    example = read_example(manifest, folder)
    if example is not None:
        inputs = inputs_of(manifest, example)
        return Inputs(inputs.numeric[:1], inputs.categorical[:1])
    signature = manifest.signature
    return Inputs(np.zeros((1, len(signature.numeric))), np.full((1, len(signature.categorical)), "", dtype=object))


def warm_up(model: LoadedModel, row: Inputs) -> None:
    """Answer one request, so that the first caller does not pay for lazy initialization; a provider is not called."""
    if model.remote:
        return
    try:
        if model.signature.task is Task.TEXT:
            next(iter(model.generator.generate("warm up", {"max_tokens": 1})), None)
            return
        answer = np.asarray(model.predictor.predict(*row))
    except MemoryError:
        raise
    except Exception as error:
        raise Unloadable(f"the warm-up prediction failed: {type(error).__name__}: {error}") from error
    width = answer.shape[1] if answer.ndim == 2 else 1
    wanted = model.signature.width
    if len(answer) != 1 or width != wanted:
        raise Unloadable(f"the warm-up answer has shape {answer.shape}; the signature needs (1, {wanted})")


def codec_of(model: LoadedModel) -> InferenceCodec:
    """The request codec of the version's signature."""
    return InferenceCodec(model.signature)


def through(connection: Path | None) -> Load | None:
    """The load of a model of a provider, with the file of its connection; None without one."""
    return None if connection is None else partial(_flavour_load, connection=connection)


def _flavour_load(manifest: ModelManifest, folder: Path, connection: Path | None = None) -> Any:
    from modelyard_flavours import load_generator, load_model

    try:
        return (load_generator if manifest.task is Task.TEXT else load_model)(manifest, folder, connection)
    except ImportError as error:
        raise Unloadable(
            f"flavour {manifest.flavour} needs {error.name}; install modelyard-flavours with it"
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        raise Unloadable(f"flavour {manifest.flavour}: {type(error).__name__}: {error}") from error
