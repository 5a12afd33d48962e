"""Limits of one scan, and what is left of them while it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from modelyard_admission.errors import LimitReached

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A scan that reaches one of these is incomplete, and so is never a pass."""

    total_bytes: int = 256 * GIB
    files: int = 10_000
    unpacked_bytes: int = 4 * GIB
    """All members of all archives together, unpacked."""
    ratio: int = 2_000
    """Unpacked bytes per packed byte of one member; deflate cannot exceed 1,032."""
    members: int = 50_000
    """All members of all archives together."""
    depth: int = 5
    """Archives inside of archives."""
    text_bytes: int = 64 * MIB
    """Largest text, JSON or source file that is read as a whole."""
    header_bytes: int = 100 * MIB
    """Largest header of a tensor file."""
    findings_per_file: int = 100
    seconds: float = 120.0
    """CPU and wall time of the whole scan."""
    memory_bytes: int = 6 * GIB
    """Private memory of the scan process; files are mapped and do not count."""


class Budget:
    """What one scan has left of its limits; shared by all of its files."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._ends_at = clock() + limits.seconds
        self._unpacked_bytes = limits.unpacked_bytes
        self._members = limits.members

    def check_time(self) -> None:
        if self._clock() > self._ends_at:
            raise LimitReached(f"the scan took longer than {self.limits.seconds:g} seconds")

    @property
    def unpacked_bytes_left(self) -> int:
        return self._unpacked_bytes

    def spend_unpacked(self, size_bytes: int) -> None:
        self._unpacked_bytes -= size_bytes
        if self._unpacked_bytes < 0:
            raise LimitReached(f"archives unpack to more than {self.limits.unpacked_bytes} bytes")
        self.check_time()

    def spend_member(self) -> None:
        self._members -= 1
        if self._members < 0:
            raise LimitReached(f"archives hold more than {self.limits.members} members")
