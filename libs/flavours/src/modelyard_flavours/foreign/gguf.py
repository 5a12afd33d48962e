"""GGUF files of language models. The transformers library reads configuration, tokenizer and weights from the file.

Quantised weights become float32 at the load: the library has no kernels that use them as they are on a CPU.
"""

from typing import Any, Final

from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_contracts.signature import Task
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign.lora import CONFIG_PATH
from modelyard_flavours.version import Version, imported

MAGIC: Final = b"GGUF"
DTYPE: Final = "float32"
NEEDED: Final = ("gguf", "accelerate")
"""Libraries that transformers asks for when it reads such a file."""
SAFETENSORS_REMEDY: Final = "register the folder of the model with its weights in safetensors"


def gguf_of(version: Version) -> str | None:
    """Path of the file that the option `model` names; None without the option.

    Inadmissible if it is no GGUF file, or if the version has another task than `text` or an adapter.
    """
    name = version.manifest.options.get(MODEL_OPTION)
    if name is None:
        return None
    with version.require(name).open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise Inadmissible(name, f"is no GGUF file; leave the option {MODEL_OPTION!r} out for a folder of weights")
    if version.signature.task is not Task.TEXT:
        task = version.signature.task
        raise Inadmissible(name, f"is a language model, which has the task text, not {task}; {SAFETENSORS_REMEDY}")
    if CONFIG_PATH in version.paths:
        raise Inadmissible(CONFIG_PATH, f"an adapter is not added to a GGUF file; {SAFETENSORS_REMEDY}")
    return name


def loading(flavour: str, file: str) -> dict[str, Any]:
    """Arguments of `from_pretrained` for a GGUF file; MissingExtra if a library is not installed."""
    for library in NEEDED:
        imported(flavour, library)
    return {"gguf_file": file}
