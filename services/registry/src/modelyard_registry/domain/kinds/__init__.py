"""Kinds of resources: what differs between a model, a dataset and a prompt."""

from collections.abc import Mapping
from typing import Final

from modelyard_contracts.references import Kind
from modelyard_registry.domain.kinds.base import Content, KindStrategy, ManifestSource
from modelyard_registry.domain.kinds.dataset import DatasetKind
from modelyard_registry.domain.kinds.model import ModelKind
from modelyard_registry.domain.kinds.prompt import PromptKind

KINDS: Final[Mapping[str, KindStrategy]] = {
    Kind.MODEL.value: ModelKind(),
    Kind.DATASET.value: DatasetKind(),
    Kind.PROMPT.value: PromptKind(),
}

__all__ = ["KINDS", "Content", "KindStrategy", "ManifestSource", "ModelKind"]
