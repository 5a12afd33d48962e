"""Another registry, as far as a synchronisation needs it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from modelyard_contracts.manifest import SourceKind
from modelyard_own.remote import Report

Fits = Callable[[int], None]
"""Takes the bytes of all files of a version; UnfitModel if there is no room for them."""


@dataclass(frozen=True)
class ForeignVersion:
    """A version there. key: its number or id. artifacts: where its files are, in the words of that registry."""

    model: str
    key: str
    artifacts: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    made_at: datetime | None = None


@dataclass(frozen=True)
class ForeignModel:
    """A model there, with its versions from the oldest. aliases: alias to key of a version."""

    name: str
    versions: tuple[ForeignVersion, ...]
    description: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)


class ForeignRegistry(Protocol):
    """A registry of another product. uri: its address, without credentials; it names the origin of versions."""

    kind: SourceKind
    uri: str

    def models(self, name: str | None) -> Iterator[ForeignModel]:
        """All models, or one of them."""

    def page_of(self, model: str) -> str:
        """Address of a model, which is the origin of its versions."""

    def fetch(self, version: ForeignVersion, folder: Path, report: Report, fits: Fits) -> Path:
        """Download the files of a version into a folder that is empty; return the model's folder, file or archive.

        Nothing of the model is read. fits: called with the bytes of all files before the first one is written.
        """
