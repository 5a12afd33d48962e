"""Kinds of resources: what differs between a model, a dataset and a prompt."""

from collections.abc import Callable, Mapping
from typing import Final

from modelyard_contracts.manifest import ModelManifest, Permissions
from modelyard_contracts.references import Kind
from modelyard_registry.domain.kinds.base import Content, KindStrategy, ManifestSource, read_document
from modelyard_registry.domain.kinds.dataset import DatasetKind
from modelyard_registry.domain.kinds.model import ModelKind
from modelyard_registry.domain.kinds.prompt import PromptKind
from modelyard_registry.domain.values import Version

KINDS: Final[Mapping[str, KindStrategy]] = {
    Kind.MODEL.value: ModelKind(),
    Kind.DATASET.value: DatasetKind(),
    Kind.PROMPT.value: PromptKind(),
}

CARDS: Final[Mapping[str, Callable[[str, Version], str]]] = {
    Kind.DATASET.value: DatasetKind().card,
    Kind.PROMPT.value: PromptKind().card,
}
"""Descriptions of versions for people, as Markdown, of the kinds whose facts are all in the manifest."""
NO_PERMISSIONS: Final = Permissions()


def permissions_of(kind: str, version: Version) -> Permissions:
    """Return the permissions that the manifest of a version asks for; only models have any."""
    return read_document(ModelManifest, version.manifest).permissions if KINDS[kind].scanned else NO_PERMISSIONS


__all__ = [
    "CARDS",
    "KINDS",
    "Content",
    "KindStrategy",
    "ManifestSource",
    "ModelKind",
    "permissions_of",
    "read_document",
]
