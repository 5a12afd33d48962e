"""The registered version that an adapter was trained on."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from modelyard import ApiError, RegistryClient
from modelyard_contracts import VersionStage
from modelyard_contracts.inference.errors import shown
from modelyard_contracts.manifest import FileEntry, ModelManifest
from modelyard_own.errors import UnfitModel

CHAMPION: Final = "champion"
Answer = TypeVar("Answer")
_FORM: Final = re.compile(r"(?P<model>[^@]+)(@(?P<which>[^@]+))?")


@dataclass(frozen=True)
class Base:
    """A version whose files are part of another one."""

    model: str
    version: int
    digest: str
    manifest: ModelManifest

    def __str__(self) -> str:
        return f"{self.model}@{self.version} ({self.digest})"

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Its files without its example."""
        return tuple(entry for entry in self.manifest.files if entry.path != self.manifest.example)


def find_base(registry: RegistryClient, text: str) -> Base:
    """Look up MODEL, MODEL@ALIAS or MODEL@VERSION; MODEL alone is its champion. UnfitModel if there is none."""
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise UnfitModel(f"--base {shown(text)}: write MODEL, MODEL@ALIAS or MODEL@VERSION, such as smollm@3")
    model, which = form["model"], form["which"] or CHAMPION
    known = _found(lambda: registry.model(model), text, "no such model; register its folder first")
    version = int(which) if which.isdecimal() else known.aliases.get(which)
    if version is None:
        raise UnfitModel(f"--base {shown(text)}: {model} has no alias {shown(which)}; write {model}@VERSION")
    info = _found(lambda: registry.version(model, version), text, f"{model} has no such version")
    if info.stage is VersionStage.PENDING:
        raise UnfitModel(f"--base {shown(text)}: is not uploaded completely; finish its registration first")
    return Base(model, version, info.digest, registry.manifest(model, version))


def _found(call: Callable[[], Answer], text: str, problem: str) -> Answer:
    """The answer of the registry; UnfitModel with the problem if it does not know what is asked for."""
    try:
        return call()
    except ApiError as error:
        if error.status not in (404, 422):
            raise
        raise UnfitModel(f"--base {shown(text)}: {problem}") from error
