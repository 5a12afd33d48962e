"""Facts of a folder as the transformers library saves it: `config.json`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from modelyard_contracts.signature import Task
from modelyard_own.facts.known import Facts, task_of_classes
from modelyard_own.files import ModelFile


def facts_of(files: Sequence[ModelFile]) -> Facts:
    """Read the architecture and the names of the labels."""
    for file in files:
        if file.path == "config.json":
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return _facts(json.loads(file.source.read_bytes()))
    return Facts()


def _facts(config: Mapping[str, Any]) -> Facts:
    architecture = str((config.get("architectures") or [""])[0])
    if architecture.endswith("ForCausalLM"):
        return Facts(task=Task.TEXT, takes_text=True, evidence=architecture)
    if not architecture.endswith("ForSequenceClassification"):
        return Facts(takes_text=True, evidence=architecture)
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    labels = tuple(str(names[place]) for place in sorted(names, key=int))
    if len(labels) == 1:
        return Facts(task=Task.REGRESSION, takes_text=True, evidence=architecture)
    return Facts(task=task_of_classes(len(labels)), classes=labels, takes_text=True, evidence=architecture)
