"""Flavour `torch-state`: a state dict of torch, and the class of the network that it belongs to.

The option `class` names it as `module:Class`: a file of the version, or of an installed package. It is called with the
option `arguments`, a JSON object. Weights are loaded without running code (safetensors, or `weights_only`). The class
is code of the author, so the flavour needs the permission `code` and runs in the confined process of its version.
"""

import importlib
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_flavours.errors import FlavourError, Inadmissible
from modelyard_flavours.foreign.columns import Columns
from modelyard_flavours.foreign.outputs import PROBABILITIES, SCORES, Outputs
from modelyard_flavours.foreign.tensors import SHAPE_MEANING, SHAPE_OPTION, in_batches, stated_shape
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version, imported, versions_of

NAME: Final = "torch-state"
SUFFIXES: Final = frozenset({".pt", ".pth", ".bin", ".safetensors"})
CLASS: Final = "class"
ARGUMENTS: Final = "arguments"
OPTIONS: Final[Mapping[str, str]] = {
    CLASS: "class of the network: module:Class, from a file module.py of the version",
    ARGUMENTS: "JSON object with the arguments of the class",
    MODEL_OPTION: "path of the state dict, if several files could be it",
    "output": "place of the output to read, 0 by default",
    "scores": "what the output holds: probabilities (default), logits or labels",
    SHAPE_OPTION: SHAPE_MEANING,
}
NESTED: Final = ("state_dict", "model_state_dict", "model")
"""Keys below which checkpoints hold the state dict."""
BATCH_ROWS: Final = 256
_CLASS: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class NetworkPredictor:
    """A network with its weights, in inference mode and with one thread."""

    def __init__(self, torch: Any, network: Any, version: Version) -> None:
        self._torch, self._network = torch, network
        self.classes = version.signature.classes
        self._columns = Columns(version.signature)
        self._columns.require_numbers("network")
        self.shape = self._columns.shape
        self._dtype = next((one.dtype for one in network.parameters()), torch.float32)
        self._row_shape = stated_shape(version) or (len(version.signature.columns),)
        self._output = int(version.option("output", "0"))
        self._outputs = Outputs(version.signature, version.option("scores", PROBABILITIES, SCORES))

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        if not len(numeric):
            return self._outputs.empty()
        matrix = self._columns.matrix(numeric, categorical)
        return in_batches(len(matrix), BATCH_ROWS, lambda rows: self._run(matrix[rows]))

    def _run(self, matrix: FloatArray) -> FloatArray:
        given = self._torch.from_numpy(matrix).to(self._dtype).reshape(-1, *self._row_shape)
        with self._torch.inference_mode():
            raw = self._network(given)
        chosen = raw[self._output] if isinstance(raw, tuple | list) else raw
        return self._outputs.of(chosen.float().numpy())


def check(version: Version) -> None:
    """Inadmissible unless the class is named, the permission is there, and one file can be the state dict."""
    version.require_options(OPTIONS)
    version.model_file(SUFFIXES)
    stated_shape(version)
    if not _CLASS.fullmatch(version.option(CLASS, "")):
        raise Inadmissible(f"options.{CLASS}", "names no class; write module:Class, such as net:Net for net.py")
    if not isinstance(version.json_option(ARGUMENTS) or {}, dict):
        raise Inadmissible(f"options.{ARGUMENTS}", 'is no JSON object; write {"hidden": 64}')
    if not version.option("output", "0").isdecimal():
        raise Inadmissible("options.output", "is not a place; write 0 for the first output")
    if not version.manifest.permissions.code:
        raise Inadmissible(
            f"options.{CLASS}", "is Python code, which runs only with the permission `code`; register it with a reason"
        )


def load(version: Version) -> NetworkPredictor:
    """Build the network and put the weights into it; every tensor must fit."""
    check(version)
    torch = imported(NAME, "torch", "torch-export")
    torch.set_num_threads(1)
    file = version.model_file(SUFFIXES)
    weights = _weights(torch, file)
    network = _network(version, torch)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:500]
        raise Inadmissible(file.name, f"does not fit {version.option(CLASS, '')}: {problem}") from error
    return NetworkPredictor(torch, network.eval(), version)


def _network(version: Version, torch: Any) -> Any:
    """An object of the class. Its errors name the class, and it may not end the process."""
    named = version.option(CLASS, "")
    module, _, name = named.partition(":")
    sys.dont_write_bytecode = True
    if str(version.folder) not in sys.path:
        sys.path.insert(0, str(version.folder))
    try:
        network = getattr(importlib.import_module(module), name)(**(version.json_option(ARGUMENTS) or {}))
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise ClassFailed(named, error) from error
    if not isinstance(network, torch.nn.Module):
        raise Inadmissible(f"options.{CLASS}", f"{named} gives a {type(network).__name__}, not a torch.nn.Module")
    return network


class ClassFailed(FlavourError):
    """The class could not be imported or called."""

    def __init__(self, named: str, error: BaseException) -> None:
        super().__init__(
            f"options.{CLASS}: {named}: {type(error).__name__}: {error}; correct the class, its file or the option "
            f"{ARGUMENTS!r}"
        )


def _weights(torch: Any, file: Path) -> Mapping[str, Any]:
    """Tensors by name; Inadmissible if loading would need code."""
    if file.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(file))
    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise Inadmissible(file.name, f"is no state dict that can be loaded without running code ({reason})") from error
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise Inadmissible(
            file.name, "holds no state dict; save it with torch.save(network.state_dict(), 'weights.pt')"
        )
    return found


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return versions_of("numpy", "torch", "safetensors")
