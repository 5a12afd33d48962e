"""Memory of a process of this machine (Linux)."""

import os
import re
from pathlib import Path


def peak_bytes(pid: int | None = None) -> int:
    """Largest resident memory of a process since its start, or since forget_peak; None: this process."""
    return _field("VmHWM", pid)


def forget_peak(pid: int | None = None) -> int:
    """Count the peak from now on; returns the resident memory of now, in bytes."""
    Path(f"/proc/{pid or os.getpid()}/clear_refs").write_text("5")
    return _field("VmRSS", pid)


def _field(name: str, pid: int | None) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid or os.getpid()}/status").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"process {pid} has no {name}")
    return int(found[1]) * 1024
