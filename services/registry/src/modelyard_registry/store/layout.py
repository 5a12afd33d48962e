"""Files of a version laid out by their paths, for readers of folders."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelyard_contracts.manifest import FileEntry


@contextmanager
def laid_out(files: Sequence[FileEntry], home: Path, place: Callable[[str, Path], None]) -> Iterator[Path]:
    """Yield a new folder in `home` with the files under their relative paths; it is deleted at the end.

    place: writes the blob with that digest to a file.
    """
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, ignore_cleanup_errors=True) as name:
        for entry in files:
            target = Path(name) / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            place(entry.digest, target)
        yield Path(name)
