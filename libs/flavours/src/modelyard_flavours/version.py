"""A version as a flavour opens it: files in a folder, each verified by its digest."""

import importlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from modelyard_contracts.manifest import MODEL_OPTION, ModelManifest
from modelyard_contracts.signature import Signature
from modelyard_flavours.errors import Inadmissible, MissingExtra
from modelyard_flavours.files import verify_entry


@dataclass(frozen=True)
class Version:
    """Verified files of a manifest. Files are opened by path, so that large ones can be mapped into memory."""

    manifest: ModelManifest
    folder: Path
    connection: Path | None = None
    """File with the connection of a model of a provider, which is no part of the version; it may be replaced."""

    @classmethod
    def verified(cls, manifest: ModelManifest, folder: Path, connection: Path | None = None) -> Self:
        """Check size and digest of every file; Inadmissible names the first that differs."""
        for entry in manifest.files:
            verify_entry(entry, folder)
        return cls(manifest, folder, connection)

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Paths of all files but the example."""
        return tuple(entry.path for entry in self.manifest.files if entry.path != self.manifest.example)

    def require(self, path: str) -> Path:
        """The file with this path; Inadmissible if the version has none."""
        if path not in self.paths:
            raise Inadmissible(path, f"is missing; flavour {self.manifest.flavour!r} needs it")
        return self.folder / path

    def model_file(self, suffixes: Collection[str]) -> Path:
        """The file that the option `model` names, or the only one with one of these suffixes."""
        if (named := self.manifest.options.get(MODEL_OPTION)) is not None:
            return self.require(named)
        found = [path for path in self.paths if Path(path).suffix.lower() in suffixes]
        if len(found) != 1:
            listed = ", ".join(found[:5]) or "none"
            wanted = " or ".join(sorted(suffixes))
            raise Inadmissible(wanted, f"one file is needed, found: {listed}; name it in the option {MODEL_OPTION!r}")
        return self.folder / found[0]

    def option(self, name: str, default: str, choices: Collection[str] = ()) -> str:
        """An option's value; Inadmissible if it is not one of the choices."""
        value = self.manifest.options.get(name, default)
        if choices and value not in choices:
            raise Inadmissible(f"options.{name}", f"is {value!r}; use {', '.join(choices)}")
        return value

    def json_option(self, name: str) -> Any:
        """An option that holds JSON; None without it."""
        value = self.manifest.options.get(name)
        try:
            return None if value is None else json.loads(value)
        except ValueError as error:
            raise Inadmissible(f"options.{name}", f"is not JSON ({error})") from error

    def require_options(self, known: Collection[str]) -> None:
        """Inadmissible names an option that the flavour does not have."""
        for name in self.manifest.options:
            if name not in known:
                listed = ", ".join(sorted(known)) or "none"
                raise Inadmissible(f"options.{name}", f"is not an option of this flavour; it has: {listed}")


def imported(flavour: str, module: str, extra: str | None = None) -> Any:
    """Import a library in the process that loads the model; MissingExtra names what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(flavour, error.name or module, extra or flavour) from error


def versions_of(*distributions: str) -> dict[str, str]:
    """Installed versions; a package that is absent is left out."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
