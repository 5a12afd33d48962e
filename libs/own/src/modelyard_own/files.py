"""The files of a model under the names that its manifest gives them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard.blobs import file_digest
from modelyard_contracts.manifest import FILE_PATH, FileEntry
from modelyard_own.description import DESCRIPTION_FILE
from modelyard_own.errors import UnfitModel

MAX_FILES: Final = 2_000
NOT_OF_THE_MODEL: Final = frozenset({"__pycache__", DESCRIPTION_FILE})


@dataclass(frozen=True)
class ModelFile:
    """A file of the model. path: its name in the manifest, with forward slashes."""

    path: str
    source: Path

    def entry(self) -> FileEntry:
        """Return its line in the manifest; reads the file in chunks."""
        return FileEntry(path=self.path, digest=file_digest(self.source), size_bytes=self.source.stat().st_size)


def model_files(model: Path, but: Path | None = None) -> tuple[ModelFile, ...]:
    """List the files of a model, sorted by name; UnfitModel names a file that no version can hold.

    Hidden files, `__pycache__` and `modelyard.yaml` are left out, and the file `but`: the sample. A single file whose
    name has other letters is renamed; in a folder, files may refer to one another by name.
    """
    if model.is_file():
        return (ModelFile(_clean(model.name), model),)
    if not model.is_dir():
        raise UnfitModel(f"{model}: no such file or folder; give the path of a model")
    skipped = but.resolve() if but is not None else None
    found = sorted(path for path in _walk(model, model) if path.resolve() != skipped)
    if not found:
        raise UnfitModel(f"{model}: the folder has no file; give the folder of a model")
    if len(found) > MAX_FILES:
        raise UnfitModel(f"{model}: {len(found)} files; at most {MAX_FILES} are allowed, give the folder of one model")
    return tuple(ModelFile(_checked(path, model), path) for path in found)


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in NOT_OF_THE_MODEL:
            continue
        if path.is_symlink():
            raise UnfitModel(f"{path.relative_to(root)}: is a link; put a copy of its file in the folder")
        if path.is_dir():
            yield from _walk(path, root)
        elif path.is_file():
            yield path
        else:
            raise UnfitModel(f"{path.relative_to(root)}: is no plain file; leave it out")


def _checked(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    if not re.fullmatch(FILE_PATH, name):
        raise UnfitModel(
            f"{name!a}: a file name has the letters a to z, A to Z, digits, '_', '-', '.' and '/'; rename it, and "
            "where other files refer to it"
        )
    return name


def _clean(name: str) -> str:
    """Return a name that every file system can hold."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    return cleaned if re.fullmatch(FILE_PATH, cleaned) else f"model_{cleaned.lstrip('.-')}"
