"""Confine this process, for ever."""

import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from modelyard_confine.amounts import Amounts, limit_amounts
from modelyard_confine.environment import forget_environment
from modelyard_confine.interpreter import interpreter_paths, network_paths
from modelyard_confine.kernel import NotRestricted, drop_capabilities
from modelyard_confine.landlock import landlock_version, restrict_files
from modelyard_confine.seccomp import refuse_calls


@dataclass(frozen=True)
class Confinement:
    """What the process keeps. Paths must exist; a folder stands for everything below it.

    readable: besides the interpreter's own files. scratch: the only writable folder, and the one for temporary files;
    None for no folder. network: new sockets and connections. Child processes, other programs and tracing are refused in
    any case.
    """

    scratch: Path | None = None
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    """Single files besides the scratch folder, such as that of a result."""
    network: bool = False
    amounts: Amounts = field(default_factory=Amounts)


@dataclass(frozen=True)
class Walls:
    """The active restrictions, by name."""

    names: tuple[str, ...]
    problem: str = ""
    """Why the kernel refused a restriction that it has."""

    @property
    def complete(self) -> bool:
        """Whether files and system calls are both restricted."""
        return "seccomp" in self.names and any(name.startswith("landlock") for name in self.names)

    @property
    def described(self) -> str:
        """A sentence for logs and refusals."""
        if self.complete:
            return f"confined by {', '.join(self.names)}"
        if self.problem:
            return f"this process could not be confined: {self.problem}"
        found = ", ".join(self.names) or "neither"
        return f"this machine cannot confine a process: it needs Landlock (Linux 5.13) and seccomp, and has {found}"


def confine(wanted: Confinement) -> Walls:
    """Restrict the process and forget its environment; returns the restrictions that are active.

    Call it before other threads exist. NotRestricted if they do, or if the kernel refuses a restriction that it has.
    """
    _require_one_thread()
    forget_environment()
    scratch = () if wanted.scratch is None else (wanted.scratch,)
    os.environ["TMPDIR"] = os.environ["HOME"] = str(wanted.scratch or os.devnull)
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"  # else it tries, fails, and warns
    tempfile.tempdir = None  # chosen again, from TMPDIR
    limit_amounts(wanted.amounts)
    names = restrict(
        writable=(*scratch, *wanted.writable, *_NULL),
        readable=(*wanted.readable, *interpreter_paths(), *(network_paths() if wanted.network else ())),
        network=wanted.network,
        processes=False,
    )
    return Walls(tuple(names))


_NULL = tuple(path for path in (Path(os.devnull),) if path.exists())


def restrict(
    *, writable: Iterable[Path], readable: Iterable[Path], network: bool = False, processes: bool = True
) -> list[str]:
    """Restrict files and system calls of the process for ever; return the names of the restrictions now active.

    Empty where the system has none. Raises NotRestricted if the kernel has a restriction and refuses to apply it.
    """
    if not sys.platform.startswith("linux"):
        return []
    names = []
    if version := landlock_version():
        restrict_files(version, writable=writable, readable=readable, network=network)
        names.append(f"landlock {version}")
    if not processes:
        drop_capabilities()
    if refuse_calls(network=network, processes=processes):
        names.append("seccomp")
    return names


def _require_one_thread() -> None:
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and (count := len(list(tasks.iterdir()))) > 1:
        raise NotRestricted(
            f"{count} threads run already, and Landlock would not hold for them; confine the process earlier"
        )
