"""What a version was made from, as pairs that searches look up."""

import re
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import Final, Protocol

from modelyard_contracts.external import connection_of
from modelyard_contracts.manifest import ModelManifest
from modelyard_registry.domain.values import Resource

_REGISTERED: Final = re.compile(
    r"(?P<model>[^@\s]{1,200})@(?P<version>\d{1,10})(?: \((?P<digest>sha256:[0-9a-f]{64})\))?"
)
"""A base that is registered here, as a manifest states it: `smollm@3 (sha256:...)`."""
MAX_TARGET: Final = 512


class Relation(StrEnum):
    """How a version depends on something else."""

    DATASET = "dataset"
    """Digest of the data that it was trained or judged on."""
    BASE_MODEL = "base_model"
    """Model that it was fine-tuned from: as the manifest states it, and `model`, `model@3` and digest if it is here."""
    CONNECTION = "connection"
    """Reference of the connection that calls its provider."""


Link = tuple[Relation, str]


class Lineage(Protocol):
    """Links of versions."""

    def add(self, resource: Resource, version: int, links: Collection[Link]) -> None: ...
    def users(self, link: Link, limit: int) -> Sequence[str]: ...  # `model@3`, without retired ones


def links_of(manifest: ModelManifest) -> frozenset[Link]:
    """Links of a model version. Runs are a column of the version."""
    return frozenset(
        (relation, target) for relation, target in _links(manifest) if target and len(target) <= MAX_TARGET
    )


def _links(manifest: ModelManifest) -> Iterator[Link]:
    if manifest.training.dataset_digest:
        yield Relation.DATASET, manifest.training.dataset_digest
    if name := connection_of(manifest):
        yield Relation.CONNECTION, name
    stated = manifest.source.base_model if manifest.source else ""
    yield Relation.BASE_MODEL, stated
    if (found := _REGISTERED.fullmatch(stated)) is not None:
        yield Relation.BASE_MODEL, found["model"]
        yield Relation.BASE_MODEL, f"{found['model']}@{found['version']}"
        yield Relation.BASE_MODEL, found["digest"] or ""
