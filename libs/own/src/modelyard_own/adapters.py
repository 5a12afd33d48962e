"""PEFT adapters: the files of a registered base together with those of the adapter are a version."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_contracts.lora import (
    ADAPTER,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LoraConfig,
    UnusableAdapter,
    read_lora,
)
from modelyard_contracts.signature import Task
from modelyard_own.base import Base
from modelyard_own.description import Description
from modelyard_own.errors import UnfitModel
from modelyard_own.facts import Facts
from modelyard_own.files import ModelFile

FORMAT: Final = "peft-adapter"
FLAVOUR: Final = "transformers"
"""The only flavour that merges an adapter."""
TEXTS: Final = "CAUSAL_LM"
CLASSES: Final = "SEQ_CLS"


@dataclass(frozen=True)
class Adapter:
    """An adapter that fits its base, as far as both can be read."""

    base: Base
    config: LoraConfig

    def files(self, files: Sequence[ModelFile]) -> tuple[ModelFile, ...]:
        """The adapter's files under the names that they have in the version."""
        return tuple(ModelFile(f"{ADAPTER}/{file.path}", file.source) for file in files)

    def facts(self, stated: Description) -> Facts:
        """Task and classes. The classes of the base hold unless others are stated: an adapter can bring a head along.

        UnfitModel if the adapter was trained for a task that its base cannot have.
        """
        answers, task = self.base.manifest.signature, self.config.task_type
        evidence = f"task_type {task} on {self.base.model}@{self.base.version}"
        if task not in (None, TEXTS, CLASSES):
            raise UnfitModel(f"{ADAPTER_CONFIG}: task_type {task} is not served; {TEXTS} and {CLASSES} are")
        if task == TEXTS and answers.task is not Task.TEXT:
            raise UnfitModel(f"--base: {self.base} answers {answers.task}, but the adapter has the task_type {TEXTS}")
        if task == CLASSES and (answers.task is Task.TEXT or stated.classes or stated.task):
            return Facts(takes_text=True, evidence=evidence)
        return Facts(task=answers.task, classes=answers.classes, takes_text=True, evidence=evidence)


def adapter_of(path: Path, format_: str, base: Base | None) -> Adapter | None:
    """The adapter in a folder; None for a model that needs no base. UnfitModel if it does not fit the base."""
    if base is None:
        return None
    if format_ != FORMAT:
        raise UnfitModel(f"--base: {path} is no PEFT adapter with an {ADAPTER_CONFIG}; leave --base out")
    _check_base(base)
    if not (path / ADAPTER_WEIGHTS).is_file():
        raise UnfitModel(f"{path}: has no {ADAPTER_WEIGHTS}; save the adapter with safe_serialization=True")
    try:
        return Adapter(base, read_lora((path / ADAPTER_CONFIG).read_bytes()))
    except UnusableAdapter as error:
        raise UnfitModel(f"{path / ADAPTER_CONFIG}: {error}") from error


def _check_base(base: Base) -> None:
    if base.manifest.flavour != FLAVOUR:
        raise UnfitModel(
            f"--base: {base} is served by the flavour {base.manifest.flavour}; give a version of {FLAVOUR}, registered "
            "from the folder that the adapter was trained on"
        )
    if (file := base.manifest.options.get("model")) is not None:
        raise UnfitModel(f"--base: {base} is the GGUF file {file}; register the folder that the adapter was trained on")
    if any(entry.path.startswith(f"{ADAPTER}/") for entry in base.files):
        own = base.manifest.source.base_model if base.manifest.source else ""
        raise UnfitModel(f"--base: {base} has an adapter already; give its base {own}, or register both merged")
