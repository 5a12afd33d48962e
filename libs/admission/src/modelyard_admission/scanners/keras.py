"""Findings of Keras models: layers that hold code, and configurations that name modules.

A .keras file is a zip archive of config.json, metadata.json and weights in HDF5; older models are one HDF5 file whose
attribute `model_config` is the same JSON.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.notes import Job, Note, Verdict
from modelyard_admission.pickles.lists import judge
from modelyard_admission.pickles.values import Name
from modelyard_admission.readers.texts import read_json
from modelyard_admission.readers.zips import read_zip, unpack
from modelyard_admission.scanners.archives import member_notes, zip_notes

CODE_LAYERS: Final = frozenset(
    {"Lambda", "TFOpLambda", "SlicingOpLambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer"}
)
_PACKAGES: Final = ("keras", "keras.", "tensorflow.keras.", "tf_keras.", "keras_hub.", "keras_nlp.", "keras_cv.")
_LOADERS: Final = frozenset(
    {"get_file", "load_model", "load_weights", "deserialize_keras_object", "enable_unsafe_deserialization"}
)
_REMEDY: Final = "Replace the layer by one without code, or convert the model to ONNX."
MAX_CONFIG_BYTES: Final = 64 * 1024 * 1024
_CONFIG_START: Final = re.compile(rb'\{"(?:class_name|module|name|config)"')


def scan_keras(data: Data, job: Job) -> Iterator[Note]:
    """The configuration layer by layer; the weights as HDF5."""
    archive = read_zip(data, job.budget)
    yield from zip_notes(archive)
    for member in archive.members:
        if member.name == "config.json":
            config = read_json(unpack(archive, member, job.budget), job.budget.limits.text_bytes)
            yield from config_notes(config)
        elif member.name.endswith(".weights.h5"):
            yield from weight_notes(unpack(archive, member, job.budget), member.name)
        else:
            yield from member_notes(archive, member, job)


def scan_hdf5(data: Data, job: Job) -> Iterator[Note]:
    """The JSON of `model_config`, found by its bytes. A file without it cannot be checked."""
    configs = list(_configs(data))
    if not configs:
        raise Malformed("is an HDF5 file without a model configuration that can be read")
    yield from weight_notes(data, None)
    for config in configs:
        yield from config_notes(config)


def weight_notes(data: Data, place: str | None) -> Iterator[Note]:
    """HDF5 can take datasets from other files, and its filters can be native plug-ins."""
    for mark in (b"pickle", b"__reduce__", b"marshal"):
        if data.find(mark) >= 0:
            yield Note("hdf5-code", Verdict.SUSPICIOUS, f"mentions {mark.decode()!r} in an HDF5 file", place)


def _configs(data: Data) -> Iterator[Any]:
    """Configurations in the order of the file; objects inside of one are part of it. Malformed if one is cut."""
    decoder, at = json.JSONDecoder(), 0
    while match := _CONFIG_START.search(data, at):
        text = data[match.start() : match.start() + MAX_CONFIG_BYTES].decode("utf-8", "replace")
        try:
            config, length = decoder.raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise Malformed("holds a configuration that is no readable JSON", f"byte {match.start()}") from error
        yield config
        at = match.start() + len(text[:length].encode("utf-8"))


def config_notes(config: Any) -> Iterator[Note]:
    """Every object of the configuration that names a class, a module or a function."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            yield from _object_notes(value)
            waiting.extend(value.values())


def _object_notes(value: dict[str, Any]) -> Iterator[Note]:
    kind, module = str(value.get("class_name", "")), value.get("module")
    if kind in CODE_LAYERS or kind.rpartition(">")[2] in CODE_LAYERS:
        message = f"holds a layer {kind!r}, which runs code from the file"
        yield Note("keras-code-layer", Verdict.MALICIOUS, message, remedy=_REMEDY)
    elif kind in {"__lambda__", "function"} and isinstance(value.get("config"), dict | str):
        yield from _function_notes(kind, value)
    if module == "builtins" and kind == "function":
        yield Note("keras-function", Verdict.SUSPICIOUS, f"names the function {str(value.get('config'))[:100]!r}")
    elif isinstance(module, str) and not module.startswith(_PACKAGES):
        yield _module_note(module, kind)
    if isinstance(module, str) and kind in _LOADERS:
        yield Note("keras-loader", Verdict.MALICIOUS, f"calls {module}.{kind} when it is loaded")
    elif (
        kind
        and module is None
        and value.get("registered_name") not in {None, kind}
        and ">" in str(value["registered_name"])
    ):
        yield Note("keras-custom", Verdict.SUSPICIOUS, f"needs the class {value['registered_name']!r} of other code")


def _function_notes(kind: str, value: dict[str, Any]) -> Iterator[Note]:
    if kind == "__lambda__":
        yield Note(
            "keras-code-layer", Verdict.MALICIOUS, "holds a lambda, which runs code from the file", remedy=_REMEDY
        )
    else:
        yield Note("keras-function", Verdict.SUSPICIOUS, f"names the function {str(value['config'])[:100]!r}")


def _module_note(module: str, kind: str) -> Note:
    verdict = Verdict.MALICIOUS if judge(Name(module, kind or "?")) is Verdict.MALICIOUS else Verdict.SUSPICIOUS
    return Note(
        "keras-foreign-module", verdict, f"imports {kind[:100]!r} from {module[:100]!r}, which is no part of Keras"
    )
