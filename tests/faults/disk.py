"""A small disk that a test can fill: a file system in memory, if the test may mount one."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

CHUNK_BYTES: Final = 64 * 1024


class SmallDisk:
    """A folder on a small disk. Without the right to mount, it is a plain folder, and `fill` skips the test."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "modelyard-test", str(folder)]
        wanted = os.environ.get("TEST_NO_MOUNT") != "1"
        self.mounted = wanted and subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Fill the disk completely."""
        if not self.mounted:
            pytest.skip("a full disk needs the right to mount a file system in memory (root)")
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for size in (CHUNK_BYTES, 1):
                try:
                    while ballast.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Free the space again."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
