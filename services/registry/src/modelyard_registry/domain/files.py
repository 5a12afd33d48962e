"""Files of a version: names that every file system can hold, each once."""

from collections.abc import Sequence
from typing import Final

from modelyard_contracts.manifest import FileEntry
from modelyard_runtime.errors import Invalid

MANIFEST_FILE: Final = "manifest.json"
MAX_FILES: Final = 20_000
MAX_NAME_CHARACTERS: Final = 255
MAX_PATH_CHARACTERS: Final = 1_024
MAX_DEPTH: Final = 32
DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
)
"""Names that Windows keeps for devices, with any extension."""
FIELD: Final = "manifest.files"


def check_files(files: Sequence[FileEntry]) -> None:
    """Invalid names the first file that some file system could not hold beside the others. Linear in the paths."""
    if len(files) > MAX_FILES:
        raise Invalid(f"{FIELD}: {len(files)} files, at most {MAX_FILES}; pack some into an archive", field=FIELD)
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for entry in files:
        _check_path(entry.path)
        folded = entry.path.lower()
        if folded in seen:
            raise Invalid(f"{FIELD}: {_both(entry.path, seen[folded])}", field=FIELD)
        seen[folded] = entry.path
        for folder in _folders(folded):
            folders.setdefault(folder, entry.path)
    for folded in seen.keys() & folders.keys():
        raise Invalid(f"{FIELD}: {_short(seen[folded])} is a file and a folder", field=FIELD)


def _check_path(path: str) -> None:
    parts = path.split("/")
    if len(path) > MAX_PATH_CHARACTERS or max(map(len, parts)) > MAX_NAME_CHARACTERS:
        raise Invalid(
            f"{FIELD}: {_short(path)}: at most {MAX_NAME_CHARACTERS} characters for a name and {MAX_PATH_CHARACTERS} "
            "for a path",
            field=FIELD,
        )
    if len(parts) > MAX_DEPTH:
        raise Invalid(f"{FIELD}: {_short(path)} is nested in more than {MAX_DEPTH - 1} folders", field=FIELD)
    if parts[0].lower() == MANIFEST_FILE:
        raise Invalid(f"{FIELD}: {MANIFEST_FILE} is the manifest itself; rename {_short(path)}", field=FIELD)
    for part in parts:
        if part.split(".")[0].lower() in DEVICES or part.endswith("."):
            raise Invalid(f"{FIELD}: {_short(path)}: {part} is no file name on Windows; rename it", field=FIELD)


def _folders(path: str) -> list[str]:
    """Every folder that holds the file; none of them twice."""
    found = []
    at = path.find("/")
    while at >= 0:
        found.append(path[:at])
        at = path.find("/", at + 1)
    return found


def _both(path: str, other: str) -> str:
    if path == other:
        return f"{_short(path)} is listed more than once"
    return f"{_short(other)} and {_short(path)} differ only in case; rename one"


def _short(path: str) -> str:
    return path if len(path) <= 80 else f"{path[:77]}..."
