"""Facts of a GGUF file, or of a folder as transformers or sentence-transformers saves it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from modelyard_contracts.embeddings import CONFIG, Steps, UnusableSteps, embeds, read_steps
from modelyard_contracts.signature import Task
from modelyard_own.errors import UnfitModel
from modelyard_own.facts.known import Facts, task_of_classes
from modelyard_own.files import ModelFile

GGUF: Final = "gguf"
"""Format of a language model in one file, as it is recognised."""


def facts_of(files: Sequence[ModelFile]) -> Facts:
    """Read the architecture, the names of the labels, and the steps of a model that embeds texts.

    UnfitModel for steps of sentence-transformers that cannot be followed.
    """
    sources = {file.path: file.source for file in files}

    def read(path: str) -> bytes | None:
        return sources[path].read_bytes() if path in sources else None

    if embeds(read):
        try:
            steps = read_steps(read)
        except UnusableSteps as error:
            raise UnfitModel(str(error)) from error
        return Facts(task=Task.EMBEDDING, takes_text=True, dimension=steps.dimension, evidence=steps.evidence)
    if not any(path.endswith(".safetensors") for path in sources) and any(map(_is_gguf, files)):
        return Facts(task=Task.TEXT, takes_text=True, evidence="a GGUF file holds a language model")
    if (config := read(CONFIG)) is not None:
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return _facts(json.loads(config), _plain_steps(read))
    return Facts()


def _is_gguf(file: ModelFile) -> bool:
    with suppress(OSError), file.source.open("rb") as opened:
        return opened.read(4) == b"GGUF"
    return False


def _plain_steps(read: Any) -> Steps | None:
    with suppress(UnusableSteps):
        return read_steps(read)
    return None


def _facts(config: Mapping[str, Any], steps: Steps | None) -> Facts:
    architecture = str((config.get("architectures") or [""])[0])
    if architecture.endswith("ForCausalLM"):
        return Facts(task=Task.TEXT, takes_text=True, evidence=architecture)
    if not architecture.endswith("ForSequenceClassification"):
        embeds_only = architecture.endswith("Model") and steps is not None
        width = steps.dimension if steps else None
        task = Task.EMBEDDING if embeds_only else None
        return Facts(task=task, takes_text=True, dimension=width, evidence=architecture)
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    labels = tuple(str(names[place]) for place in sorted(names, key=int))
    if len(labels) == 1:
        return Facts(task=Task.REGRESSION, takes_text=True, evidence=architecture)
    return Facts(task=task_of_classes(len(labels)), classes=labels, takes_text=True, evidence=architecture)
