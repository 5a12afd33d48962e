"""Limits of one process that the kernel enforces."""

import resource
from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20


@dataclass(frozen=True)
class Amounts:
    """None keeps the present limit. Processes are refused by seccomp, not counted: RLIMIT_NPROC counts all of a user's.

    memory_mib: private memory, mapped files not included; beyond it, MemoryError. file_mib: size of a written file;
    beyond it, OSError (EFBIG). cpu_s: CPU time of all threads; beyond it, the process is killed.
    """

    memory_mib: int | None = None
    file_mib: int | None = None
    cpu_s: int | None = None


def limit_amounts(amounts: Amounts) -> None:
    """Set the limits, and none above a present one. A crash leaves no core file, which would hold the memory."""
    _limit(resource.RLIMIT_CORE, 0)
    for kind, value in (
        (resource.RLIMIT_DATA, amounts.memory_mib and amounts.memory_mib * MIB),
        (resource.RLIMIT_FSIZE, amounts.file_mib and amounts.file_mib * MIB),
        (resource.RLIMIT_CPU, amounts.cpu_s),
    ):
        if value is not None:
            _limit(kind, value)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (wanted, wanted))
