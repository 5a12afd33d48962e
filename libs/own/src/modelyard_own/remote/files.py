"""Files on another server, and their digests."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard.blobs import CHUNK_BYTES, file_digest

GIT: Final = "git:"
"""Prefix of the SHA-1 that git computes of a file; hubs state it for small files, and `sha256:` for large ones."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository or registry. path: with forward slashes."""

    path: str
    size_bytes: int
    digest: str = ""
    """`sha256:<hex>` or `git:<hex>`; empty if the server states none."""

    def matches(self, path: Path) -> bool:
        """Whether a local file has this size and digest; reads it in chunks."""
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        if not self.digest:
            return True
        return (_git_digest(path) if self.digest.startswith(GIT) else file_digest(path)) == self.digest


def _git_digest(path: Path) -> str:
    """SHA-1 of a blob as git computes it."""
    hashed = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hashed.update(chunk)
    return f"{GIT}{hashed.hexdigest()}"
