"""Limits of the operating system on the scan process, set by itself before it opens a file."""

from math import ceil
from pathlib import Path

from modelyard_admission.limits import Limits
from modelyard_confine import Amounts, restrict
from modelyard_confine.amounts import MIB, limit_amounts
from modelyard_confine.interpreter import interpreter_paths


def restrict_scan(readable: tuple[Path, ...], limits: Limits) -> None:
    """Forbid this process, for ever, the network, other programs, writing, and reading anything else.

    Mapped files do not count as memory. On a kernel without the means, the limits on memory and time remain: the
    scanners run no code of a file, so these walls are a second line.
    """
    limit_amounts(Amounts(memory_mib=limits.memory_bytes // MIB, file_mib=0, cpu_s=ceil(limits.seconds) + 5))
    restrict(writable=(), readable=(*readable, *interpreter_paths()), network=False, processes=False)
