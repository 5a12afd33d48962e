"""The second wall: the engine's process cannot open a file outside its data folder, whatever SQL it is given.

It knows nothing of SQL. On Linux, Landlock keeps the process to the data folder and from listening and connecting;
seccomp refuses to run programs and to open sockets. Elsewhere, and on kernels without them, only the first wall
stands: the start line and the header of `/ping` report which walls do.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelyard_confine import restrict

_ENGINE_IMPORTS: Final = (
    "bisect", "ctypes", "datetime", "decimal", "json", "math", "numbers", "platform", "random", "struct", "tempfile",
    "textwrap", "uuid", "xml.etree.ElementTree",
)  # fmt: skip
"""Modules that the engine's package imports: after the wall stands, only the package's own files can be read."""
_ENGINE_LIBRARIES: Final = ("libpthread.so.0", "libm.so.6", "librt.so.1", "libdl.so.2", "libnss_files.so.2")

_PUBLIC: Final = tuple(
    map(Path, ("/sys/fs/cgroup", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/resolv.conf"))
)
"""The kernel's accounting of memory, by which the engine limits its own, and what it needs to look up `localhost`."""


def confine(data: Path) -> list[str]:
    """Restrict the process to the engine's folders below `data`, for ever; return the names of the active walls.

    Call it before the engine is imported: importing it starts threads, and a wall holds for later threads only.
    All other modules must have been imported. Raises NotRestricted, ImportError.
    """
    for module in _ENGINE_IMPORTS:
        importlib.import_module(module)
    for library in _ENGINE_LIBRARIES:
        with contextlib.suppress(OSError):  # of another C library: part of it, or absent
            ctypes.CDLL(library)
    return restrict(
        writable=[data / name for name in ("engine", "work", "spool")],
        readable=[data / "engine.config", *_package_folders(), *filter(Path.exists, _PUBLIC)],
    )


def _package_folders() -> list[Path]:
    found = importlib.util.find_spec("chdb")
    if found is None or found.origin is None:
        raise ImportError("No module named 'chdb'", name="chdb")
    package = Path(found.origin).parent
    return [folder for folder in (package, package.parent / "chdb_core.libs") if folder.is_dir()]


def described(walls: Sequence[str]) -> str:
    """Return the line of the start."""
    confined = any(wall.startswith("landlock") for wall in walls)
    text = f"walls: {', '.join(['statements', *walls])}"
    return text if confined else f"{text}; without Landlock (Linux 5.13) the engine can open this user's other files"
