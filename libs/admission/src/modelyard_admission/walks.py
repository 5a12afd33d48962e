"""The files below a folder, without following links, and paths inside of a folder."""

import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def tree(path: Path) -> Iterator[tuple[Path, str]]:
    """(file, name with forward slashes) of a file, or of everything below a folder that is no folder, by name."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        yield path, path.name
        return
    for entry in sorted(path.rglob("*")):
        if not stat.S_ISDIR(entry.lstat().st_mode):
            yield entry, entry.relative_to(path).as_posix()


def is_inside(path: str) -> bool:
    """True for a plain relative path that stays below its folder on every system."""
    parts = PurePosixPath(path).parts
    unsafe = "\\" in path or "\0" in path or ":" in path or path.startswith(("/", "~"))
    return bool(parts) and not unsafe and ".." not in parts
