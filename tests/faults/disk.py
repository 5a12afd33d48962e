"""A small disk that a test can fill and free: a file system in memory, else a limit on the size of files."""

import os
import resource
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
CHUNK_BYTES: Final = 64 * 1024


class SmallDisk:
    """`folder` lies on it. Without the right to mount, processes are kept from writing instead."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "modelyard-test", str(folder)]
        refused = subprocess.run(command, capture_output=True, check=False).returncode
        self.mounted = refused == 0 and os.environ.get("TEST_NO_MOUNT") != "1"
        if refused == 0 and not self.mounted:
            self._unmount()
        self._limited: list[int] = []

    def fill(self, pids: Iterable[int]) -> None:
        """Not one more byte fits; `pids` are the processes that write here."""
        if self.mounted:
            self._write_until_full()
            return
        self._limited = list(pids)
        for pid in self._limited:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self) -> None:
        """There is room again."""
        if self.mounted:
            (self.folder / "ballast").unlink(missing_ok=True)
        for pid in self._limited:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self) -> None:
        if self.mounted:
            self._unmount()

    def _write_until_full(self) -> None:
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for size in (CHUNK_BYTES, 1):
                try:
                    while ballast.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def _unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False)
