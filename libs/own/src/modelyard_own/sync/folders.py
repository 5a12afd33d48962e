"""Files of this machine that another registry names."""

import shutil
from pathlib import Path

from modelyard_own.errors import UnfitModel
from modelyard_own.sync.foreign import Fits


def copied(source: Path, to: Path, root: Path | None, fits: Fits) -> Path:
    """Copy a folder below `root`; UnfitModel for any other: a registry could otherwise name every file."""
    if root is None or not source.resolve().is_relative_to(root.resolve()):
        raise UnfitModel(
            f"its files are in the folder {source} of the server; if this machine may read it, allow that by "
            "--files-root FOLDER"
        )
    if not source.is_dir():
        raise UnfitModel(f"{source}: no such folder on this machine")
    fits(sum(path.lstat().st_size for path in source.rglob("*") if path.is_file()))
    shutil.copytree(source, to, dirs_exist_ok=True, symlinks=True)
    return to
